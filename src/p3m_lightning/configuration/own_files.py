"""Configuration files of the user's own folders: which of them cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from p3m_lightning.schema import InputError

SEARCHED = "hydra.searchpath"
TOLD = 160  # characters of a parser's message


@contextmanager
def naming_broken_files(overrides: Sequence[str]) -> Iterator[None]:
    """Turn an error of reading YAML into one that names the file, in a folder that `overrides` make Hydra search.

    Hydra lets those errors through, without a name.

    Raises:
        InputError: a file cannot be read.
    """
    from hydra.errors import HydraException

    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, HydraException) and str(error):  # Hydra's own words tell what is wrong
            raise
        for folder in searched_folders(overrides):
            for file in sorted(folder.rglob("*.yaml")):
                _read(file)
        raise


def searched_folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders that `hydra.searchpath=[file://...]` names."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = [line for line in overrides if line.startswith(f"{SEARCHED}=")]
    values = [override.value() for override in OverridesParser.create().parse_overrides(given)]
    places = [str(place) for value in values if isinstance(value, list) for place in value]
    return [Path(place.removeprefix("file://")) for place in places if not place.startswith("pkg://")]


def _read(file: Path) -> None:
    from omegaconf import OmegaConf

    try:
        OmegaConf.load(file)
    except Exception as error:  # PyYAML lets any error of its constructors through, as KeyError for `!!bool x`
        told = " ".join((str(error) or repr(error)).split())[:TOLD]
        raise InputError(f"{file}: cannot be read as YAML ({told})") from None
