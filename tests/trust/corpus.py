"""Generated hostile files: truncated at every structure, decompression bombs, false sizes, unusual values and names."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "PPM": ".ppm",
    "TGA": ".tga",
    "JPEG2000": ".jp2",
}
NAMES = (
    "line\nbreak.png",
    "tab\tand\rreturn.png",
    "\x1b[2J\x1b[31mred.png",
    "<script>alert(1)</script>.png",
    "[red]markup[/red] $x$ `a`|b.png",
    "-o.png",
    "--help.png",
    " .png",
    "a b'c\"d.png",
    "..png",
    "...jpg",
    "%s%n{0}.png",
    "‮gnp.exe.png",
    "ü" * 100 + ".png",
    "x" * 240 + ".png",
    "\udcff\udcfe.png",
    "CON.png",
    "a.png.jpg",
    "a=b,c.png",
    "*.png",
    "~.png",
    "$(touch mark).png",
)
"""Names that a shell, a terminal, a page or an option parser would act on; one is no UTF-8."""


def picture(size: tuple[int, int] = (48, 40), seed: int = 0) -> Image.Image:
    """Return a small image of noise and a ramp."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2] = np.linspace(0, 255, size[0], dtype=np.uint8)[None, :, None]
    return Image.fromarray(pixels)


def encoded(kind: str, **keys: object) -> bytes:
    """Return a small image encoded in a format."""
    out = io.BytesIO()
    picture().save(out, kind, **keys)
    return out.getvalue()


def structures(content: bytes, kind: str) -> list[int]:
    """Return where the parts of a file begin: segments, chunks, boxes, directories, blocks."""
    if kind == "PNG":
        return list(_walk(content, 8, lambda at: 12 + struct.unpack(">I", content[at : at + 4])[0]))
    if kind == "JPEG":
        return [at for at in range(len(content) - 1) if content[at] == 0xFF and content[at + 1] not in (0, 0xFF)]
    if kind == "WEBP":
        return list(_walk(content, 12, lambda at: 8 + (struct.unpack("<I", content[at + 4 : at + 8])[0] + 1) // 2 * 2))
    if kind == "AVIF":
        return [content.find(tag) for tag in (b"ftyp", b"meta", b"hdlr", b"iloc", b"iprp", b"ispe", b"mdat")]
    if kind == "TIFF":
        start = struct.unpack("<I", content[4:8])[0]
        entries = struct.unpack("<H", content[start : start + 2])[0]
        return [4, 8, start, start + 2, *(start + 2 + 12 * k for k in range(entries))]
    return [3, 6, 10, 13, 14, 18, 26, 54]


def _walk(content: bytes, at: int, step) -> Iterator[int]:
    while at + 8 <= len(content):
        yield at
        at += step(at)


def chunk(tag: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def png(width: int, height: int, rows: bytes, depth: int = 8, color: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG with any header and chunks, valid or not."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, **changes: int) -> bytes:
    """Return an uncompressed TIFF of (H, W) or (H, W, C), its tags changed by number as `t258=3`."""
    planes = 1 if pixels.ndim == 2 else pixels.shape[2]
    body = pixels.tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {256: pixels.shape[1], 257: pixels.shape[0], 258: pixels.itemsize * 8, 259: 1, 262: 2 if planes == 3 else 1}
    tags |= {273: 8, 277: planes, 278: pixels.shape[0], 279: len(body), 339: kind}
    tags |= {int(key[1:]): value for key, value in changes.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def contents() -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every hostile file that is made of bytes."""
    for kind, suffix in FORMATS.items():
        try:
            whole = encoded(kind)
        except (OSError, KeyError):  # a Pillow without this format
            continue
        yield f"whole_{kind}{suffix}", whole
        cuts = {at for begin in structures(whole, kind) for at in (begin, begin + 1, begin + 5) if 0 < at < len(whole)}
        cuts |= {1, 2, 11, 12, len(whole) // 2, len(whole) - 1, len(whole) - 4}
        ordered = sorted(at for at in cuts if 0 < at < len(whole))
        for at in ordered[:: max(1, len(ordered) // 24)]:
            yield f"cut_{kind}_{at}{suffix}", whole[:at]
        rng = np.random.default_rng(len(whole))
        for number in range(8):
            spoiled = bytearray(whole)
            for at in rng.integers(0, len(whole), 6):
                spoiled[at] = int(rng.integers(0, 256))
            yield f"spoiled_{kind}_{number}{suffix}", bytes(spoiled)
        yield f"wrong_name_{kind}.{'png' if kind == 'JPEG' else 'jpg'}", whole
    yield from _bombs()
    yield from _texts()
    yield from _numbers()
    yield from _others()


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "bomb_wide.png", png(100_000, 100_000, b"\0" * 1000)
    yield "bomb_huge.png", png(0x7FFFFFFF, 0x7FFFFFFF, b"\0" * 1000)
    yield "bomb_thin.png", png(200_000_000, 1, b"\0" * 1000)
    yield "bomb_16.png", png(20_000, 20_000, bytes(10_000_000), 16, 6)
    yield "bomb_zero.png", png(0, 0, b"")
    yield "bomb_gif.gif", b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02D\x01\x00;"
    yield (
        "bomb_bmp.bmp",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "bomb_minus.bmp", b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, -5, -5, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "bomb_ppm.ppm", b"P6\n999999999 999999999\n255\n"
    yield "bomb_minus_ppm.ppm", b"P6\n-5 -5\n255\n"
    yield "bomb_jpeg.jpg", encoded("JPEG").replace(struct.pack(">HH", 40, 48), b"\xff\xff\xff\xff", 1)
    grey = np.zeros((4, 4), np.uint8)
    for name, changes in {
        "wide": {"t256": 1 << 30, "t257": 1 << 30},
        "strips": {"t278": 0},
        "offset": {"t273": 0xFFFFFFF0},
        "count": {"t279": 0xFFFFFFF0},
        "depth": {"t258": 4096},
        "samples": {"t277": 65535},
        "compression": {"t259": 34925},
        "old_jpeg": {"t259": 6},
        "zero": {"t256": 0},
        "format": {"t339": 77},
        "predictor": {"t317": 3},
        "orientation": {"t274": 99},
    }.items():
        yield f"tiff_{name}.tif", tiff(grey, **changes)
    loop = bytearray(tiff(grey))
    loop[-4:] = struct.pack("<I", 8 + 16)
    yield "tiff_loop.tif", bytes(loop)
    yield "tiff_pages.tif", _many_pages(500)


def _many_pages(count: int) -> bytes:
    out = io.BytesIO()
    pages = [Image.new("L", (2, 2), k % 256) for k in range(count)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    return out.getvalue()


def _texts() -> Iterator[tuple[str, bytes]]:
    row = bytes(1 + 3 * 8) * 8
    zipped, part = (zlib.compress(bytes(size), 1) for size in (200_000_000, 900_000))
    yield "text_ztxt.png", png(8, 8, row, extra=chunk(b"zTXt", b"a\0\0" + zipped))
    yield "text_itxt.png", png(8, 8, row, extra=chunk(b"iTXt", b"a\0\1\0\0\0" + zipped))
    yield "text_icc.png", png(8, 8, row, extra=chunk(b"iCCP", b"a\0\0" + zipped))
    yield "text_many.png", png(8, 8, row, extra=chunk(b"zTXt", b"a\0\0" + part) * 200)
    yield "text_plain.png", png(8, 8, row, extra=chunk(b"tEXt", b"a\0" + b"x" * 3_000_000))
    yield "text_exif.png", png(8, 8, row, extra=chunk(b"eXIf", b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(40)))
    for name, block in {
        "short": b"Exif\0\0II*\0",
        "loop": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0",
        "orientation": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
        "text": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
        "many": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\0" * 50,
        "rational": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x1a\x01\x05\0\x01\0\0\0\x08\0\0\0\0\0\0\0",
        "noise": b"Exif\0\0" + bytes(range(256)) * 8,
    }.items():
        yield f"exif_{name}.jpg", encoded("JPEG", exif=block)
    yield "icc_noise.jpg", encoded("JPEG", icc_profile=bytes(range(256)) * 4)
    out = io.BytesIO()
    picture().convert("CMYK").save(out, "JPEG", icc_profile=bytes(200))
    yield "icc_cmyk.jpg", out.getvalue()


def _numbers() -> Iterator[tuple[str, bytes]]:
    for kind in (np.float32, np.float64, np.float16):
        for name, value in {"nan": np.nan, "inf": np.inf, "minus": -np.inf, "large": 6e4, "tiny": 1e-7}.items():
            for shape in ((8, 8), (8, 8, 3)):
                pixels = np.full(shape, 0.5, kind)
                pixels[2, 3] = value
                yield f"float_{np.dtype(kind).name}_{name}_{len(shape)}.tif", tiff(pixels)
    for kind in (np.int8, np.int16, np.int32, np.uint32, np.uint16):
        yield f"integer_{np.dtype(kind).name}.tif", tiff(np.full((8, 8), np.iinfo(kind).max, kind))
    yield "float_all_nan.tif", tiff(np.full((8, 8, 3), np.nan, np.float32))
    yield "pfm.pfm", b"PF\n2 2\n-1.0\n" + np.full(12, np.nan, np.float32).tobytes()
    for mode in ("1", "P", "LA", "RGBA", "I;16"):
        out = io.BytesIO()
        Image.new(mode, (7, 5)).save(out, "PNG")
        yield f"mode_{mode.replace(';', '')}.png", out.getvalue()
    for size in ((1, 1), (1, 300), (300, 1), (2, 3)):
        out = io.BytesIO()
        picture(size).save(out, "PNG")
        yield f"size_{size[0]}_{size[1]}.png", out.getvalue()


def _others() -> Iterator[tuple[str, bytes]]:
    yield "empty.png", b""
    yield "zeros.jpg", bytes(5000)
    yield "text.png", b"not a picture\n" * 50
    yield "svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"
    yield "eps.png", b"\xc5\xd0\xd3\xc6" + bytes(40)
    yield "pdf.png", b"%PDF-1.7\n1 0 obj\n"
    yield "zip.png", b"PK\x03\x04" + bytes(60)
    yield "pickle.png", b"\x80\x04cposix\nsystem\n(S'touch mark'\ntR."
    yield "psd.jpg", b"8BPS\0\1" + bytes(60)
    yield "lfs.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    yield "heic.heic", b"\0\0\0\x18ftypheic" + bytes(60)
    yield "fli.png", b"\0\0\0\0\x11\xaf" + bytes(200)
    yield "mp4.jpg", b"\0\0\0\x18ftypisom" + bytes(60)
    frames = io.BytesIO()
    pictures = [picture(seed=k) for k in range(3)]
    pictures[0].save(frames, "GIF", save_all=True, append_images=pictures[1:])
    yield "animation.gif", frames.getvalue()
    yield "animation_cut.gif", frames.getvalue()[:-900]


def write_corpus(folder: Path, every: int = 1) -> list[Path]:
    """Write the corpus, or every n-th file of it; return the paths, including links and pipes."""
    folder.mkdir(parents=True)
    paths = []
    for name, content in list(contents())[::every]:
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    good = encoded("PNG")
    for number, name in enumerate(NAMES):
        try:
            (folder / name).write_bytes(good if number % 3 else good[:90])
        except OSError:  # a file system that has no such names
            continue
        paths.append(folder / name)
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "random.jpg").symlink_to("/dev/urandom")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "nowhere.png").symlink_to("no/such/file.png")
    (folder / "loop").symlink_to(".", target_is_directory=True)
    (folder / "folder.png").mkdir()
    return [
        *paths,
        *(folder / f for f in ("pipe.png", "device.png", "random.jpg", "loop.png", "nowhere.png", "folder.png")),
    ]
