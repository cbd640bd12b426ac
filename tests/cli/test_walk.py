"""Number of files that a newcomer opens to follow a photograph from `p3m predict` to its PNG."""

import os
import subprocess
import sys

import pytest

from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait

MOST = 15
MOST_IN_TORCH = 28  # the network itself, its weights, their format and shapes, and the configuration that is in them

WALK = """
import sys, threading
from pathlib import Path
import p3m_lightning

root, entered = str(Path(p3m_lightning.__file__).parent) + "/", set()

def note(frame, event, _):
    file = frame.f_code.co_filename
    if event != "call" or not file.startswith(root) or file in entered:
        return
    while frame is not None:  # what runs while a module is imported is not on the way of the photograph
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root):
            return
        frame = frame.f_back
    entered.add(file)

from p3m_lightning.cli import main
threading.setprofile(note)
sys.setprofile(note)
code = main(sys.argv[1:])
sys.setprofile(None)
print(*sorted(file.removeprefix(root) for file in entered), sep="\\n")
sys.exit(code)
"""
"""Prints the files in which a function runs, in any thread; the generated methods of dataclasses have no file."""


def files_entered(tmp_path, *options):
    write_image(tmp_path / "photo.jpg", render_portrait(0, 96).image)
    command = [sys.executable, "-c", WALK, "predict", tmp_path / "photo.jpg", "-o", tmp_path / "mattes", *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mattes/photo.png").exists()
    return [line for line in done.stdout.splitlines() if line.endswith(".py")]


def test_a_photograph_enters_few_files_on_its_way_to_its_matte(tmp_path):
    pytest.importorskip("onnxruntime")
    files = files_entered(tmp_path)
    assert {"cli/predict.py", "images/decoding.py", "inference/matte.py"} < set(files)
    assert len(files) <= MOST, f"{len(files)} files: {', '.join(files)}"


@pytest.mark.slow
def test_a_network_in_torch_adds_its_own_files_alone(tmp_path):
    files = files_entered(tmp_path, "--engine", "torch")
    assert "inference/engines/torch_engine.py" in files
    assert len(files) <= MOST_IN_TORCH, f"{len(files)} files: {', '.join(files)}"
