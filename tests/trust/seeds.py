"""Valid files of every kind as seeds for the fuzzer, and wrappings that it would not find by itself."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
APART = b"\n--8<--\n"
"""Between the files of a run folder, which are one text for the fuzzer."""


def with_checksums(content: bytes) -> bytes:
    """Correct the checksums of a PNG, because decoders stop at a wrong one."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return content
    repaired, at = bytearray(content), 8
    while at + 12 <= len(content):
        end = at + 8 + struct.unpack(">I", content[at : at + 4])[0]
        if end + 4 > len(content):
            break
        repaired[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return bytes(repaired)


def photograph_seeds(folder: Path) -> list[bytes]:
    from corpus import FORMATS, encoded

    kinds = [kind for kind in FORMATS if kind != "TIFF"]
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    return [
        *map(encoded, kinds),
        encoded("JPEG", exif=exif),
        encoded("JPEG", progressive=True),
        encoded("PNG", exif=exif),
    ]


def matte_seeds(folder: Path) -> list[bytes]:
    import numpy as np
    from corpus import tiff
    from PIL import Image

    trimap = np.repeat(np.array([0, 128, 255], np.uint8), 30).reshape(9, 10)
    images = [Image.fromarray(trimap), Image.fromarray(trimap).convert("LA"), Image.fromarray(trimap).convert("P")]
    images += [Image.fromarray(trimap.astype(np.uint16) * 257), Image.new("1", (7, 5)), Image.new("RGBA", (3, 3), 7)]
    found = []
    for image in images:
        out = io.BytesIO()
        image.save(out, "PNG")
        found.append(out.getvalue())
    return [*found, tiff(trimap), tiff(trimap.astype(np.float32) / 255), tiff(trimap.astype(np.uint16) * 257)]


def tiff_seeds(folder: Path) -> list[bytes]:
    import numpy as np
    from corpus import picture, tiff
    from PIL import Image

    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    color = np.repeat(grey[..., None], 3, axis=2)
    found = [tiff(grey), tiff(color), tiff((color * 65535).astype(np.uint16)), tiff((grey * 255).astype(np.uint8))]
    found += [tiff(color, t274=6), tiff((grey * 65535).astype(np.uint32)), tiff(color.astype(np.float16))]
    for options in (
        {"compression": "tiff_lzw"},
        {"compression": "tiff_deflate"},
        {"compression": "packbits"},
        {"big_tiff": True},
    ):
        out = io.BytesIO()
        pages = [picture((9, 8), seed) for seed in range(2)]
        pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], **options)
        found.append(out.getvalue())
    out = io.BytesIO()
    Image.fromarray((grey * 65535).astype(np.uint16)).save(out, "TIFF", tiffinfo={317: 2}, compression="tiff_lzw")
    return [*found, out.getvalue()]


def checkpoint_seeds(folder: Path) -> list[bytes]:
    import torch

    content = {
        "state_dict": {"net.a.weight": torch.arange(6.0).reshape(2, 3), "net.b": torch.zeros(2, dtype=torch.int64)},
        "config": {"model": {"name": "modnet"}, "inference": {"mode": "resize"}, "trained_on": ["p3m-10k"]},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}}],
        "epoch": 1,
    }
    found = []
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=zipped)
        found.append(out.getvalue())
    return found


def pickle_seeds(folder: Path) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(checkpoint_seeds(folder)[0])) as archive:
        return [archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))]


def as_archive(pickled: bytes) -> bytes:
    """Wrap a pickle in the archive that `torch.load` expects."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        parts = {
            "data.pkl": pickled,
            "byteorder": b"little",
            "version": b"3\n",
            "data/0": bytes(24),
            "data/1": bytes(16),
        }
        for name, content in parts.items():
            archive.writestr(f"archive/{name}", content)
    return out.getvalue()


def safetensors_seeds(folder: Path) -> list[bytes]:
    import torch
    from safetensors.torch import save

    config = {"model": {"name": "modnet"}, "license": "MIT", "results": {"P": {"sad": 1.0}}}
    return [save({"a": torch.zeros(2, 3), "b": torch.ones(1).half()}, {"format": "pt", "config": json.dumps(config)})]


def pack_seeds(folder: Path) -> list[bytes]:
    import numpy as np

    from p3m_lightning.data.storage.packs import encode_pack

    ramp = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    maps = {"image": ramp, "alpha": ramp[..., 0], "foreground": ramp}
    return [encode_pack(maps, {role: [1, 2] for role in maps}), encode_pack({"alpha": ramp[..., 1]}, {})]


def run_seeds(folder: Path) -> list[bytes]:
    from fabricated_runs import write_run

    run = write_run(folder / "run", {"P": [1.0, 2.0]}, curve=[3.0, 2.0])
    names = ("config.yaml", "results.json", "metrics_P.json", "metrics.csv")
    return [APART.join((run / name).read_bytes() for name in names)]


def record_seeds(folder: Path) -> list[bytes]:
    from own_records import whole_records

    kinds = whole_records().values()
    return [bytes([k]) + APART.join(kind.files.values()) for k, kind in enumerate(kinds)]


def landmark_seeds(folder: Path) -> list[bytes]:
    faces = [[[k, k + 1] for k in range(68)]]
    return [json.dumps({"landmarks": {"a": faces, "b.jpg": []}}).encode(), b'{"landmarks": {"a": [[[1, 2]]]}}']


def card_seeds(folder: Path) -> list[bytes]:
    from p3m_lightning.models.external import card

    example = re.findall(r"```yaml\n(.*?)```", (HERE.parents[1] / "docs" / "compare.md").read_text(), re.DOTALL)
    return [text.encode() for text in example] or [card.__doc__.encode()]


def program_seeds(folder: Path) -> list[bytes]:
    import torch

    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), out)
    exported = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(1, 1), (torch.zeros(1, 1),)), exported)
    return [out.getvalue(), exported.getvalue()]


def onnx_seeds(folder: Path) -> list[bytes]:
    return [tiny_onnx()]


def tiny_onnx(
    metadata: str | None = None, nodes: list | None = None, name: str = "alpha", tensors: tuple = ()
) -> bytes:
    """Return an ONNX graph that computes the mean of the channels, with the metadata of `p3m export`, or another graph.

    Args:
        metadata: JSON text; None for valid metadata.
        nodes: replace the mean; from `images` to `name`.
        name: of the output.
        tensors: initializers.
    """
    from onnx import TensorProto, helper

    told = {"needs_trimap": False, "modes": ["resize", "native"], "settings": {"name": "modnet"}, "inference": {}}
    nodes = nodes or [helper.make_node("ReduceMean", ["images"], [name], axes=[1], keepdims=1)]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, "H", "W"])
    graph = helper.make_graph(nodes, "g", [given], [helper.make_empty_tensor_value_info(name)], list(tensors))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"p3m_lightning": json.dumps(told) if metadata is None else metadata})
    return model.SerializeToString()


def video_seeds(folder: Path) -> list[bytes]:
    import av
    import numpy as np

    found = []
    for suffix, codec in ((".mp4", "mpeg4"), (".mkv", "ffv1"), (".avi", "mjpeg")):
        path = folder / f"seed{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=5)
            stream.width, stream.height = 16, 16
            stream.pix_fmt = {"mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for k in range(3):
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 40 * k, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        found.append(path.read_bytes())
    return found


TEXTS = ("runs", "records", "landmarks", "cards")
"""Readers whose input is text, mostly."""
TOKENS = ("!!timestamp ", "!!int ", "!!bool ", "!!float ", "!!binary ", "!!set ", "!!omap ", "!!null ", "<<: ", "? ")
TOKENS += ("&a ", "*a", "- ", ": ", "null", "true", "NaN", "-Infinity", "1e400", "2001-01-01", "{}", "[]", "\\ud800")
"""Words of YAML and JSON, which chance would take long to spell."""


def write_tokens(path: Path) -> Path:
    """Write `TOKENS` as a dictionary for libFuzzer."""
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in token.encode()) + '"' for token in TOKENS)
    path.write_text("\n".join(lines) + "\n")
    return path


SEEDS = {
    "images": photograph_seeds,
    "mattes": matte_seeds,
    "tiffs": tiff_seeds,
    "checkpoints": lambda folder: [*checkpoint_seeds(folder), *safetensors_seeds(folder)],
    "pickles": pickle_seeds,
    "packs": pack_seeds,
    "runs": run_seeds,
    "records": record_seeds,
    "landmarks": landmark_seeds,
    "careless": landmark_seeds,
    "cards": card_seeds,
    "programs": program_seeds,
    "onnx": onnx_seeds,
    "videos": video_seeds,
}
"""Of each reader of `fuzz.READERS`."""
