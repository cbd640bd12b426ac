"""The examples in docstrings run, and the public functions of the lower floors each have one."""

import doctest
import inspect
from importlib import import_module

import pytest
import torch

MODULES = (
    "metrics.functional",
    "ops.geometry",
    "ops.guided",
    "ops.matting",
    "ops.morphology",
    "ops.pyramid",
    "losses.alpha",
    "losses.hausdorff",
    "losses.modnet",
    "losses.p3m",
    "losses.stylematte",
    "losses.vitmatte",
    "models",
)
PACKAGES = ("ops", "losses")  # whose `__all__` is what users call


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    torch.manual_seed(0)
    result = doctest.testmod(import_module(f"p3m_lightning.{name}"), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_function_has_an_example(package):
    module = import_module(f"p3m_lightning.{package}")
    functions = {name: getattr(module, name) for name in module.__all__}
    missing = [n for n, f in functions.items() if inspect.isfunction(f) and ">>>" not in (f.__doc__ or "")]
    assert not missing


def test_every_metric_has_an_example():
    module = import_module("p3m_lightning.metrics.functional")
    public = [f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__]
    assert not [f.__name__ for f in public if not f.__name__.startswith("_") and ">>>" not in f.__doc__]
