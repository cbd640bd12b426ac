"""Processes started by torchrun or srun: each composes a run folder of its own, but they are one run and share one."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from p3m_lightning.schema import InputError

KEY = "p3m_run_folder"


def shared_run_folder(folder: str) -> str:
    """Return the first process's run folder in every process of a run; Lightning's own children get it anyway.

    Raises:
        InputError: srun was called in a way that Lightning does not understand.
    """
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"} & os.environ.keys():
        return folder
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    from torch.distributed import TCPStore

    under_torchrun = TorchElasticEnvironment.detect()
    if not under_torchrun and not SLURMEnvironment.detect():
        return folder
    try:
        place = TorchElasticEnvironment() if under_torchrun else SLURMEnvironment()
    except RuntimeError as error:  # Lightning's advice on the batch script
        raise InputError(f"srun: {error}") from error
    rank, size = place.global_rank(), place.world_size()
    if size == 1:
        return folder
    # torchrun's agent keeps a store for its processes; for those of srun the first one opens it beside Lightning's port
    hosts, port = (False, place.main_port) if under_torchrun else (rank == 0, place.main_port + 1)
    store = TCPStore(place.main_address, port, size, is_master=hosts, timeout=timedelta(minutes=5))
    key = f"{KEY}_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    if rank == 0:
        store.set(key, folder)
    folder = store.get(key).decode()
    store.add(f"{key}_read", 1)
    while hosts and store.add(f"{key}_read", 0) < size:  # the store is gone when its host leaves this function
        time.sleep(0.05)
    return folder
