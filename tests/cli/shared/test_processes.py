"""Which run folder the processes of torchrun and srun take; threads stand for the processes."""

import socket
import threading

import pytest
from lightning_fabric.plugins.environments import SLURMEnvironment

from p3m_lightning.cli.shared.processes import shared_run_folder
from p3m_lightning.schema import InputError

SLURM = {
    "SLURM_NTASKS": "3",
    "SLURM_NTASKS_PER_NODE": "3",
    "SLURM_PROCID": "0",
    "SLURM_JOB_NAME": "train",
    "SLURM_JOB_ID": "77",
}


@pytest.fixture
def srun(monkeypatch):
    """Call `shared_run_folder` in three threads, each with a rank and a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port - 1)}  # the store takes the port after Lightning's
    for name, value in (SLURM | here).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(SLURMEnvironment, "global_rank", lambda self: int(threading.current_thread().name))

    def call():
        folders = {}

        def one(rank):
            folders[rank] = shared_run_folder(f"folder{rank}")

        threads = [threading.Thread(target=one, args=(rank,), name=str(rank)) for rank in (2, 1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return folders

    return call


def test_all_processes_of_srun_write_where_the_first_one_does(srun):
    assert srun() == dict.fromkeys(range(3), "folder0")


def test_an_interactive_shell_on_a_cluster_is_one_process(srun, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert srun() == {rank: f"folder{rank}" for rank in range(3)}


def test_a_batch_script_that_lightning_does_not_understand_is_refused_in_its_words(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(InputError, match="--ntasks-per-node=3"):
        shared_run_folder("mine")


def test_a_process_of_its_own_keeps_its_folder(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert shared_run_folder("mine") == "mine"
