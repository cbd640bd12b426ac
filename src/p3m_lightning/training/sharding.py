"""FSDP2: parameters, gradients and optimizer state of a large network, divided among all processes."""

from __future__ import annotations

import warnings

from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from p3m_lightning.schema import InputError


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy for FSDP2 with every process on the data axis, and one checkpoint file as in other runs.

    It relies on the training module to shard its network: `MattingModule.configure_model`.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Arrange the processes; Lightning's default would be tensor parallelism within a machine."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def shard(net: nn.Module, mesh: DeviceMesh, smallest: int = 1_000_000) -> None:
    """Shard a network in place: its large parts, so that only one at a time is whole in memory, then the rest.

    Args:
        net: any network; one that is sharded already is unchanged.
        mesh: the data axis.
        smallest: number of parameters from which a part is gathered on its own.

    Raises:
        InputError: weights that FSDP2 cannot shard.
    """
    if isinstance(net, FSDPModule):
        return
    if not all(parameter.is_contiguous() for parameter in net.parameters()):
        raise InputError("trainer=fsdp: cannot shard weights stored channels last; use channels_last=false")
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")  # nobody writes into outputs
    for part in parts_to_shard(net, smallest):
        fully_shard(part, mesh=mesh)
    fully_shard(net, mesh=mesh)


def unshard(net: nn.Module) -> None:
    """Gather the parameters in every process and keep them; do nothing for a network that is not sharded.

    For evaluation: processes may differ in their number of images, and would wait for each other in every forward pass
    that gathers.
    """
    for part in _sharded(net):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def reshard(net: nn.Module) -> None:
    """Shard the parameters again after `unshard`."""
    for part in _sharded(net):
        part.set_reshard_after_forward(part is not net, recurse=False)  # the whole is needed again at once, in backward
        part.reshard()


def parts_to_shard(net: nn.Module, smallest: int) -> list[nn.Module]:
    """Return the innermost modules of at least `smallest` parameters; of lists of modules only their members."""
    found = []
    for child in net.children():
        inner = parts_to_shard(child, smallest)
        large = sum(p.numel() for p in child.parameters()) >= smallest
        callable_part = not isinstance(child, nn.ModuleList | nn.ModuleDict)
        found += inner or ([child] if large and callable_part else [])
    return found


def _sharded(net: nn.Module) -> list[FSDPModule]:
    return [part for part in net.modules() if isinstance(part, FSDPModule)]
