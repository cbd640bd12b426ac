import os
import random
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side: threads would wait for each other
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin every test, and what it sets up for others, with the same random numbers, whatever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


SHARED = Path(__file__).resolve().parents[2] / "shared"
REDUCED = Path(__file__).parent / "golden"


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"{path} is not there: the recorded numbers and samples do not travel with the package")
    return path


@pytest.fixture(scope="session")
def golden() -> Path:
    """Recorded numbers of the published implementations: the whole set where it is, else the reduced one."""
    return SHARED / "golden" if (SHARED / "golden").is_dir() else REDUCED


@pytest.fixture(scope="session")
def golden_portraits() -> Path:
    """The whole set of recorded numbers: those about photographs do not travel with the package."""
    return _shared("golden")


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real portraits with published mattes."""
    return _shared("samples")


@pytest.fixture(scope="session")
def portraits(tmp_path_factory) -> Path:
    """A small synthetic set in the layout of P3M-10k: 6 training portraits, 4 in each test set, 160 pixels."""
    from p3m_lightning.synthetic import synthesize

    root = tmp_path_factory.mktemp("portraits") / "set"
    synthesize(root, train=6, test=4, size=160, seed=1, workers=2)
    return root


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A narrow P3M-Net with random weights."""
    import torch

    from p3m_lightning import create_model
    from p3m_lightning.models.weights import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "narrow.safetensors"
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}}
    save_weights(create_model(**config["model"]), config, path)
    return path
