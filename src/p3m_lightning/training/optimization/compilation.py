"""Training steps through `torch.compile`; weights, their names and checkpoints are those of the plain network."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from p3m_lightning.messages import did_you_mean
from p3m_lightning.schema import InputError

LONGEST = 300
"""Length to which a compiler's message is cut."""


def compile_in_place(net: nn.Module, backend: str = "inductor") -> None:
    """Let a network compile itself when it is first called; nothing else changes, and copies are not compiled.

    Args:
        net: any network.
        backend: of `torch.compile`, see `prepare_compiling`.

    Raises:
        InputError: no such backend.
    """
    prepare_compiling(backend)
    net.compile(backend=backend)


def prepare_compiling(backend: str) -> None:
    """Prepare for training through a backend of `torch.compile`.

    Args:
        backend: `inductor` writes kernels and needs a C++ compiler, `aot_eager` and `eager` only trace, to check
            whether a network can be compiled; and others that are installed.

    Raises:
        InputError: no such backend.
    """
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        known = sorted({*torch.compiler.list_backends(), "aot_eager", "eager"})
        raise InputError(f"compile_backend={backend}: choose from {', '.join(known)}{did_you_mean(backend, known)}")
    import torch._functorch.config as functorch

    # donated buffers do not survive the first backward pass, but shares and weightings of losses need several
    functorch.donated_buffer = False


def is_compiled(net: nn.Module) -> bool:
    """Return whether a network was compiled in place."""
    return net._compiled_call_impl is not None


def as_it_is(net: nn.Module) -> AbstractContextManager[object]:
    """Bypass compiled code meanwhile: whole images have many sizes, each of which would be compiled."""
    return torch.compiler.set_stance("force_eager") if is_compiled(net) else nullcontext()


def as_input_error(error: Exception) -> InputError | None:
    """Return the InputError for an error of compiling; None for any other."""
    dynamo = sys.modules.get("torch._dynamo.exc")  # not imported unless something was compiled
    if dynamo is None or not isinstance(error, dynamo.TorchDynamoException):
        return None
    reason = " ".join(str(error).split("Set TORCHDYNAMO")[0].split())[:LONGEST]
    return InputError(f"compile: this network cannot be compiled here ({reason}); use compile=false")
