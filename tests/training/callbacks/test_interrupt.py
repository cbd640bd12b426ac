import os
import signal
import threading
from types import SimpleNamespace

import pytest

from p3m_lightning.training.callbacks.interrupt import StopBetweenBatches


def trainer(world=1, others=False):
    agree = lambda decision, all: decision or others  # noqa: E731
    return SimpleNamespace(world_size=world, strategy=SimpleNamespace(reduce_boolean_decision=agree))


@pytest.fixture
def callback():
    before = signal.getsignal(signal.SIGINT)
    stopper = StopBetweenBatches()
    stopper.on_train_start(trainer(), None)
    yield stopper
    stopper.on_exception(trainer(), None, KeyboardInterrupt())
    assert signal.getsignal(signal.SIGINT) is before


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_strikes_at_the_next_batch_and_not_in_a_finalizer(callback):
    class Finalized:
        def __del__(self):
            interrupt()

    Finalized()  # dies here; Python would swallow a KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_start(trainer(), None, None, 0)


def test_a_second_signal_strikes_at_once(callback, capfd):
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_without_a_signal_training_goes_on(callback):
    callback.on_train_batch_start(trainer(), None, None, 0)
    callback.on_validation_batch_start(trainer(), None, None, 0)
    callback.on_train_end(trainer(), None)


def test_all_processes_stop_when_one_was_asked(callback):
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_start(trainer(world=2, others=True), None, None, 0)


def test_validation_is_left_at_once_by_a_single_process_only(callback):
    interrupt()
    callback.on_validation_batch_start(trainer(world=2), None, None, 0)
    with pytest.raises(KeyboardInterrupt):
        callback.on_validation_batch_start(trainer(), None, None, 0)


def test_a_signal_in_the_last_batch_is_not_lost(callback):
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_end(trainer(), None)


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=StopBetweenBatches().on_train_start, args=(trainer(), None))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
