import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from p3m_lightning.parallel import PixelsInUse, in_order, run_parallel
from p3m_lightning.schema import InputError


def square(number: int) -> tuple[int, int]:
    if number < 0:
        raise InputError(f"{number}: negative")
    return number**2, os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_works_here_and_in_order():
    results = list(run_parallel(square, range(5), 1))
    assert [value for value, _ in results] == [0, 1, 4, 9, 16]
    assert {process for _, process in results} == {os.getpid()}


def test_two_workers_do_every_task_elsewhere():
    results = list(run_parallel(square, range(9), 2))
    assert sorted(value for value, _ in results) == [k**2 for k in range(9)]
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_work(workers):
    with pytest.raises(InputError, match="-1: negative"):
        list(run_parallel(square, [1, -1, 2], workers))


def test_a_worker_that_dies_is_explained():
    with pytest.raises(InputError, match="try fewer workers"):
        list(run_parallel(die, [1, 2], 2))


def test_no_tasks_and_no_workers():
    assert list(run_parallel(square, [], None)) == []
    with pytest.raises(InputError, match="workers: 0 is less than 1"):
        list(run_parallel(square, [1], 0))


@pytest.fixture
def limit_of_ten(monkeypatch):
    monkeypatch.setattr("p3m_lightning.parallel.pixel_limit", lambda: 10)
    monkeypatch.setattr("p3m_lightning.parallel.declared_pixels", int)


def test_no_more_pixels_are_begun_than_fit_beside_those_still_held(limit_of_ten):
    held, results, begun, most = PixelsInUse(), [], [], 0
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as later:
        for size, future in in_order(pool, lambda size: begun.append(size) or size, [4] * 9, 6, lambda s: [s], held):
            most = max(most, sum(begun) - 4 * len(results) + held.count())
            results.append(future.result())
            held.add(later.submit(time.sleep, 0.01), size)
    assert results == [4] * 9
    assert most <= 12  # two of four, and the one that was just handed over


def test_a_file_beyond_the_limit_is_worked_on_alone(limit_of_ten):
    held = PixelsInUse()
    with ThreadPoolExecutor(2) as pool:
        assert [task for task, _ in in_order(pool, str, [20, 3, 20], 6, lambda size: [size], held)] == [20, 3, 20]


def test_pixels_count_until_their_future_is_done():
    held, future = PixelsInUse(), Future()
    held.add(future, 5)
    assert held.count() == 5
    future.set_result(None)
    held.wait(0)
    assert held.count() == 0
