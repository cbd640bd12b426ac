"""Functions that a configuration prepares (`_partial_`) and others call much later: wrong arguments found at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from p3m_lightning.schema import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


def prepared_with(keys: Iterable[str], verify: Callable[..., None]) -> Callable[[Function], Function]:
    """Mark a function that takes `**keywords`: which ones these are, and who tells whether its arguments make sense.

    Args:
        keys: names that stand for `**keywords` in its signature, so that `+inference.typo=1` is refused.
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
    """Find out whether a prepared function would take the arguments that it has, without calling it.

    Args:
        prepared: of a configuration.
        key: where it stands there, for messages.
        first: what it will be given as its first argument.

    Raises:
        InputError: an argument of another name, or one that `prepared_with` knows to make no sense.
    """
    if not isinstance(prepared, partial):
        return
    try:
        inspect.signature(prepared.func).bind_partial(first, *prepared.args, **prepared.keywords)
    except TypeError as error:
        raise InputError(f"{key}: {error}") from None
    except ValueError:  # of some functions in C there is no signature
        return
    verify = getattr(prepared.func, "__verify__", None)
    if verify is not None:
        try:
            verify(first, **prepared.keywords)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None
