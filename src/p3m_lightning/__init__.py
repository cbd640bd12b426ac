"""Portrait matting with PyTorch Lightning and Hydra: train, compare and use P3M-Net and its rivals."""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "create_model": "models",
    "list_models": "models",
    "load_model": "models",
    "load_reference_weights": "models",
    "compose_run": "configuration",
    "train": "training",
    "evaluate": "training",
    "Predictor": "inference",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    """Import the named tool where it lives, so that `import p3m_lightning` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'p3m_lightning' has no attribute {name!r}")
    return getattr(import_module(f"p3m_lightning.{_HOME[name]}"), name)
