"""Space of a sweep: values in Hydra's override grammar, enumerated for a grid or suggested by Optuna."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna import Trial
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Dimension:
    """One key and the values it may take: choices, or an interval.

    Args:
        key: the left side of `=` in an override.
        choices: possible right sides.
        low: the lower end of an interval instead of choices; an int for whole numbers.
        high: the upper end, included.
        log: draw uniformly on a logarithmic scale.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def override(self, value: str | float) -> str:
        """Return the override that sets the key."""
        return f"{self.key}={value}"

    def distribution(self) -> BaseDistribution:
        """Return the equivalent distribution of Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if isinstance(self.low, int):
            return IntDistribution(self.low, int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def suggest(self, trial: Trial) -> str | float:
        """Let the study's sampler choose a value; a value that the trial already has is kept."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if isinstance(self.low, int):
            return trial.suggest_int(self.key, self.low, int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return ",".join(self.choices) or f"{'log ' * self.log}{self.low} to {self.high}"


def read_space(params: Mapping[str, Any], overrides: Iterable[Override]) -> list[Dimension]:
    """Collect the varied keys from `hydra.sweeper.params` and from the command line, which wins.

    Args:
        params: key -> values in Hydra's grammar: `1,3`, `choice(1,3)`, `range(1,4)`, `interval(0.1,10)`, or
            `tag(log, interval(0.1,10))`; a list means the same as a choice.
        overrides: of the command line, parsed; plain ones fix a key that `params` would vary.

    Raises:
        InputError: nothing varies, or values that cannot be read.
    """
    whole = {override.get_key_element(): override for override in map(_parsed, params, params.values())}
    whole |= {override.get_key_element(): override for override in overrides}
    space = [dimension(override) for override in whole.values() if override.is_sweep_override()]
    if not space:
        raise InputError(
            "-m: nothing to sweep over; give values such as loss.weights.semantic=1,3, or hydra.sweeper.params"
        )
    return space


def dimension(override: Override) -> Dimension:
    """Read one parsed override.

    Raises:
        InputError: no values, or an invalid interval.
    """
    from hydra.core.override_parser.types import IntervalSweep

    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low > high or (log and low <= 0):
            raise InputError(f"{key}: {override.get_value_string()} is not an interval" + " above 0" * log)
        return Dimension(key, low=low, high=high, log=log)
    choices = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise InputError(f"{key}: {override.get_value_string()} has no values")
    return Dimension(key, choices)


def grid(space: Sequence[Dimension]) -> list[dict[str, str]]:
    """Return every combination, the last key varying fastest.

    Raises:
        InputError: an interval, which has infinitely many values.
    """
    for each in space:
        if not each.choices:
            raise InputError(
                f"{each.key}: a grid needs values such as 1,3 or range(1,4); hydra/sweeper=tpe takes intervals"
            )
    keys = [each.key for each in space]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(each.choices for each in space))]


def _parsed(key: str, values: Any) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    text = f"choice({','.join(map(str, values))})" if isinstance(values, list | tuple) else values
    try:
        return OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise InputError(f"hydra.sweeper.params.{key}: {text!r} cannot be read ({error})") from error
