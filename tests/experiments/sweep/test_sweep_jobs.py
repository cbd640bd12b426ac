"""Jobs of a sweep as processes, with short scripts in the place of a training."""

import json
import subprocess
import sys
import threading

import pytest

from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.experiments.sweep import jobs as sweep_jobs
from p3m_lightning.experiments.sweep.jobs import Job, run_job, try_lock

RESULTS = {"validation": {"val/sad": 2.5}, "sets": {"T": {"mean": {"sad": 3.0}}}, "seconds": 1.0}
FINISH = f"import pathlib; pathlib.Path('results.json').write_text({json.dumps(RESULTS)!r})"
WAIT = """
import signal, sys, time, pathlib
def leave(*_):
    print('checkpoint written')
    sys.exit(130)
signal.signal(signal.SIGINT, leave)
pathlib.Path('ready').touch()
time.sleep(60)
"""
STUBBORN = "import signal, time, pathlib; signal.signal(signal.SIGINT, signal.SIG_IGN); pathlib.Path('ready').touch()"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job that runs a script in its folder."""

    def made(script):
        folder = tmp_path / "0"
        command = [sys.executable, "-S", "-c", f"import os; os.chdir({str(folder)!r})\n{script}"]
        monkeypatch.setattr(Job, "command", lambda self: command)
        return Job(0, folder, [], [], "{}", try_lock(folder))

    monkeypatch.setattr(sweep_jobs, "POLL", 0.01)
    return made


@pytest.fixture
def run():
    """Run a job; `asked` of the events is set as soon as the file `ready` is there."""

    def ran(job, asked=()):
        events = {name: threading.Event() for name in ("stop", "force")}

        def ask():
            while not (job.folder / "ready").exists():
                pass
            for name in asked:
                events[name].set()

        threading.Thread(target=ask if asked else lambda: None).start()
        return run_job(job, events["stop"], events["force"], {})

    return ran


def test_results_are_read_from_the_run_folder(job, run):
    outcome = run(job(FINISH))
    assert (outcome.state, outcome.value) == ("done", 2.5)
    assert outcome.results["sets"] == {"T": {"sad": 3.0}}


def test_a_diverged_training_is_a_failure_and_no_score(job, run):
    outcome = run(job(FINISH.replace("2.5", "NaN")))
    assert (outcome.state, outcome.value) == ("failed", None)
    assert "diverged" in outcome.reason


def test_a_job_with_results_is_not_run_again(job, run):
    run(job(FINISH))
    assert run(job("raise SystemExit(1)")).state == "done"


def test_the_last_line_is_why_a_job_failed(job, run):
    outcome = run(job("import sys; print('p3m: loss.weights: no such term', file=sys.stderr); sys.exit(2)"))
    assert (outcome.state, outcome.reason) == ("failed", "loss.weights: no such term")


def test_a_job_that_was_killed_says_by_which_signal(job, run):
    assert "signal 9" in run(job("import os; print('step 1', flush=True); os.kill(os.getpid(), 9)")).reason


def test_asked_to_stop_a_job_is_interrupted_and_given_time(job, run):
    interrupted = job(WAIT)
    assert run(interrupted, asked=["stop"]).state == "interrupted"
    assert "checkpoint written" in (interrupted.folder / "log.txt").read_text()


@pytest.mark.parametrize("asked", [["stop", "force"], ["force"]], ids=" then ".join)
def test_asked_twice_a_stubborn_job_is_killed_however_soon_the_second_time(job, run, asked):
    assert run(job(f"{STUBBORN}; time.sleep(60)"), asked=asked).state == "interrupted"


def test_a_job_goes_on_from_its_last_checkpoint_whatever_its_folder_is_called(tmp_path):
    folder = tmp_path / "a, b='c'"
    (folder / "checkpoints").mkdir(parents=True)
    job = Job(0, folder, ["seed=1"], [], "{}", None)
    assert not any(part.startswith("ckpt=") for part in job.command())
    (folder / "checkpoints" / "last.ckpt").touch()
    assert f"ckpt={quoted(folder / 'checkpoints' / 'last.ckpt')}" in job.command()
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert OverridesParser.create().parse_override(f"ckpt={quoted(folder)}").value() == str(folder)


def test_a_lock_is_held_until_the_last_process_is_gone(tmp_path):
    lock = try_lock(tmp_path)
    assert try_lock(tmp_path) is None
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
    lock.close()
    assert try_lock(tmp_path) is None
    child.communicate()
    assert try_lock(tmp_path)
