"""`p3m export`: a network as an ONNX file, compared with the original, or as a folder for the Hugging Face Hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli.shared.network import add_checkpoint, check_checkpoint, published_network
from p3m_lightning.files import PART, atomic_folder
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that --help is quick
    import numpy as np

    from p3m_lightning.inference.export.metadata import Facts
    from p3m_lightning.models.blocks import MattingNetwork

HUB_FILES = ("model.safetensors", "config.json")
"""What a folder for the Hub holds beside README.md, which comes last: without it the folder is to be made again."""

PORTRAITS = ((0, 512, 512), (1, 470, 333), (2, 350, 401))  # seed, height, width of the default comparison images


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m export --ckpt RUN/checkpoints/best.ckpt -o matting.onnx"
    add_checkpoint(parser, "checkpoint of this package")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.onnx", help="the file to write")
    parser.add_argument(
        "--hub", type=Path, metavar="DIR", help="write a folder for the Hugging Face Hub: weights, settings, model card"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="photographs to compare on (default: three synthetic portraits)"
    )
    parser.add_argument(
        "--precision", default="32", choices=["32", "fp16", "int8"], help="int8 is calibrated on the photographs"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="SAD",
        help="largest difference allowed in an image (default 0.1; for fp16 and int8 it is reported, not judged)",
    )
    parser.add_argument(
        "--share-weights",
        action="store_true",
        help="write only the graph; its weights stay in the .safetensors of --ckpt, which lies beside it",
    )
    parser.add_argument(
        "--license", metavar="TEXT", help="license of the weights, recorded in the file (default: as published)"
    )
    parser.add_argument(
        "--trained-on", metavar="TEXT", help="training data, recorded in the file (default: as far as known)"
    )


def run(options: argparse.Namespace) -> None:
    """Export, compare, print the differences and the file."""
    check_checkpoint(options)
    if options.output is None and options.hub is None:
        raise InputError("give -o FILE.onnx, or --hub DIR")
    if options.output is not None and options.output.suffix != ".onnx":
        raise InputError(f"-o {options.output}: give a file that ends in .onnx")
    if options.share_weights:
        _check_sharing(options)
    if options.hub is not None and _is_filled(options.hub):
        raise InputError(f"--hub {options.hub}: exists already; give a new or empty folder")
    net, facts = network_with_facts(options)
    if options.hub is not None:
        _save_for_hub(net, facts, options.hub)
    if options.output is None:
        return
    images = comparison_images(options.images)
    from p3m_lightning.inference.export.onnx import export_onnx

    shares = options.ckpt if options.share_weights else None
    pictures = list(images.values())
    differences = export_onnx(net, options.output, pictures, facts, options.precision, options.tolerance, shares)
    for name, difference in zip(images, differences, strict=True):
        height, width = difference.size
        print(f"{name} ({width} x {height}): SAD {difference.sad:.2g}, largest difference {difference.largest:.2g}")
    print(options.output)


def _check_sharing(options: argparse.Namespace) -> None:
    fits = options.ckpt is not None and options.ckpt.suffix == ".safetensors" and options.precision == "32"
    if not fits or options.output is None or options.output.parent.resolve() != options.ckpt.parent.resolve():
        raise InputError(
            "--share-weights: goes with --ckpt FILE.safetensors, -o FILE.onnx in the same folder, and precision 32"
        )


def comparison_images(folder: Path | None) -> dict[str, np.ndarray]:
    """Return images by name, uint8 (H, W, 3): those of `folder`, or synthetic portraits."""
    from p3m_lightning.images import list_images, read_image

    if folder is not None:
        return {path.name: read_image(path) for path in list_images(folder)}
    from p3m_lightning.synthetic import render_portrait

    return {
        f"portrait {seed}": render_portrait(seed, max(height, width)).image[:height, :width]
        for seed, height, width in PORTRAITS
    }


def network_with_facts(options: argparse.Namespace) -> tuple[MattingNetwork, Facts]:
    """Load the network, and gather the facts to record in its file."""
    from p3m_lightning.inference.export.metadata import load_with_facts, published_facts

    if options.ckpt:
        net, facts = load_with_facts(options.ckpt)
    else:
        net, facts = published_network(options.model, options.weights), published_facts(options.model)
    stated = {"license": options.license, "trained_on": options.trained_on}
    return net, facts | {key: value for key, value in stated.items() if value}


def _is_filled(folder: Path) -> bool:
    """Tell whether a folder holds more than what an export that was killed has left there."""
    if not folder.is_dir():
        return folder.exists()
    return any(path.name not in HUB_FILES and not path.name.startswith(PART) for path in folder.iterdir())


def _save_for_hub(net: MattingNetwork, facts: Facts, folder: Path) -> None:
    try:
        from p3m_lightning.inference.export.hub import HubModel
    except ModuleNotFoundError as error:
        raise InputError(f"--hub needs {error.name}: pip install 'p3m_lightning[hub]'") from None
    with atomic_folder(folder, last="README.md") as aside:
        HubModel(net, facts).save_pretrained(aside)
    print(folder)
