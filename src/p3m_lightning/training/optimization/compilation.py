"""Training steps through `torch.compile`; the weights, their names and checkpoints stay those of the plain network."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from p3m_lightning.messages import did_you_mean
from p3m_lightning.schema import InputError

LONGEST = 300
"""Letters of a compiler's message that are passed on."""


def compile_in_place(net: nn.Module, backend: str = "inductor") -> None:
    """Let a network compile itself when it is first called; nothing else about it changes, and copies are plain ones.

    Args:
        net: any network.
        backend: of `torch.compile`, see `prepare_compiling`.

    Raises:
        InputError: no such backend.
    """
    prepare_compiling(backend)
    net.compile(backend=backend)


def prepare_compiling(backend: str) -> None:
    """Make ready for training through a backend of `torch.compile`.

    Args:
        backend: `inductor` writes kernels and needs a C++ compiler, `aot_eager` and `eager` only trace, to find out
            whether a network can be compiled; and whatever else is installed.

    Raises:
        InputError: no such backend.
    """
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        known = sorted({*torch.compiler.list_backends(), "aot_eager", "eager"})
        raise InputError(f"compile_backend={backend}: choose from {', '.join(known)}{did_you_mean(backend, known)}")
    import torch._functorch.config as functorch

    # buffers given away in the first backward pass are gone in a second: shares and weightings of losses need several
    functorch.donated_buffer = False


def is_compiled(net: nn.Module) -> bool:
    """Tell whether a network was compiled in place."""
    return net._compiled_call_impl is not None


def as_it_is(net: nn.Module) -> AbstractContextManager[object]:
    """Leave compiled code aside for a while: whole pictures have many sizes, each of which would be compiled for."""
    return torch.compiler.set_stance("force_eager") if is_compiled(net) else nullcontext()


def as_input_error(error: Exception) -> InputError | None:
    """Return what to tell of an error if it is one of compiling; None for any other."""
    dynamo = sys.modules.get("torch._dynamo.exc")  # not imported unless something was compiled
    if dynamo is None or not isinstance(error, dynamo.TorchDynamoException):
        return None
    reason = " ".join(str(error).split("Set TORCHDYNAMO")[0].split())[:LONGEST]
    return InputError(f"compile: this network cannot be compiled here ({reason}); take compile=false")
