import os
import signal

import pytest

from p3m_lightning.parallel import run_parallel
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
