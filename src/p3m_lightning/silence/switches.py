"""Switches: variables of the environment that keep packages silent."""

from __future__ import annotations

import os

SWITCHES = {
    "albumentations": {"NO_ALBUMENTATIONS_UPDATE": "1"},  # asks the package index for a newer version, on import
    "nncf": {"NNCF_CI": "1"},  # reports each use, by openvino_telemetry; read on import
    "wandb": {"WANDB_ERROR_REPORTING": "false"},  # sends errors to its makers, offline too
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true"},  # reports calls; read on import
    "huggingface_hub": {
        "HF_HUB_DISABLE_TELEMETRY": "1",  # describes the machine in downloads; read on import
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    },
    "gradio": {"GRADIO_ANALYTICS_ENABLED": "False"},  # reports pages, errors and asks for a newer version
}
"""Package -> variables of the environment, with values that keep it silent."""

VARIABLES = {name: value for variables in SWITCHES.values() for name, value in variables.items()}
"""The variables of all of them."""


def hush(*packages: str) -> None:
    """Keep packages silent, before they are imported; a variable that is set already stays as it is.

    Args:
        packages: keys of `SWITCHES`; none for all of them.
    """
    for package in packages or SWITCHES:
        for name, value in SWITCHES[package].items():
            os.environ.setdefault(name, value)
