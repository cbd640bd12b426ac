"""Early checks of functions that a configuration prepares (`_partial_`) and that are called much later."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from p3m_lightning.schema import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


def prepared_with(keys: Iterable[str], verify: Callable[..., None]) -> Callable[[Function], Function]:
    """Mark a function that takes `**keywords` with the accepted names and a function that verifies its arguments.

    Args:
        keys: names that `**keywords` accepts, so that `+inference.typo=1` is refused.
        verify: takes the function's first argument and the prepared keywords; raises InputError.
    """

    def marked(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None) for key in keys]
        function.__dict__["__signature__"] = signature.replace(parameters=[*own, *more])
        function.__dict__["__verify__"] = verify
        return function

    return marked


def verify_prepared(prepared: Callable[..., Any], key: str, first: object) -> None:
    """Check that a prepared function would accept its arguments, without calling it.

    Args:
        prepared: built from a configuration.
        key: its key there, for messages.
        first: its future first argument.

    Raises:
        InputError: an argument that it does not take, or a value that its `verify` refuses.
    """
    if not isinstance(prepared, partial):
        return
    try:
        inspect.signature(prepared.func).bind_partial(first, *prepared.args, **prepared.keywords)
    except TypeError as error:
        raise InputError(f"{key}: {error}") from None
    except ValueError:  # some C functions have no signature
        return
    verify = getattr(prepared.func, "__verify__", None)
    if verify is not None:
        try:
            verify(first, **prepared.keywords)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None
