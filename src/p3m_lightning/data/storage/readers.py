"""The files of one sample, decoded the fastest way and only as far as a transform needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from p3m_lightning.data.labels import checked_label, trimap_codes
from p3m_lightning.data.storage.layout import PACK
from p3m_lightning.data.storage.packs import Pack
from p3m_lightning.images import image_header, is_upright, read_image, read_matte, read_trimap
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # windows imports torch, which a process that only decodes does not need
    from p3m_lightning.data.windows import Window

COLOR_ROLES = ("image", "foreground", "background")
_WHOLE_FILE = {".png": b"IEND\xaeB`\x82"} | dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), b"\xff\xd9")


class SampleFiles:
    """Reads the roles (image, alpha, trimap, foreground, background, face) of one sample from its files.

    Args:
        files: role -> path; `pack` is the file that `p3m data pack` wrote, read instead of the files in it.
        estimate: let the transform estimate foreground and background where there are no files of them.
        face: use a black face mask where there is no file of it.
        labels: what the files of mattes hold, one of `schema.LABELS`.

    Raises:
        InputError: the pack is broken, or older than one of the files.
    """

    def __init__(
        self, files: Mapping[str, Path], estimate: bool = False, face: bool = False, labels: str = "matte"
    ) -> None:
        self.files = {role: path for role, path in files.items() if role != PACK}
        self.face = face
        self.labels = labels
        self.estimate = estimate and not {"foreground", "background"} <= files.keys()
        self.pack = Pack(files[PACK]) if PACK in files else None
        changed = self.pack and self.pack.changed(self.files)
        if changed:
            raise InputError(f"{changed}: has changed since it was packed in {files[PACK]}; run `p3m data pack` again")

    def alpha(self) -> np.ndarray:
        """Return the matte, uint8 or uint16 (H, W), full range.

        Raises:
            InputError: broken file, or a matte of 0 and 1 in a file of 0 to 255.
        """
        path = self.files["alpha"]
        if self.labels == "trimap" and not self.pack:
            return trimap_codes(read_trimap(path))
        alpha = self.pack.read("alpha") if self.pack else read_matte(path)
        return alpha if self.labels == "matte" else checked_label(alpha, self.labels, path)

    def trimap(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Return the trimap that came with the data set, uint8 (H, W) of classes; None where there is none.

        Raises:
            InputError: broken file or another size than `shape`.
        """
        return self._window("trimap", read_trimap, shape) if "trimap" in self.files else None

    def maps(self, shape: tuple[int, int], window: Window | None = None) -> dict[str, np.ndarray]:
        """Return image, foreground, background, uint8 (h, w, 3), and face, uint8 or uint16 (h, w), where they exist.

        Args:
            shape: height and width of the matte, which every file must have.
            window: the part to read; all of it by default.

        Raises:
            InputError: broken file or another size.
        """
        maps = {role: self._window(role, read_color, shape, window) for role in COLOR_ROLES if role in self.files}
        if self.face and "face" in self.files:
            maps["face"] = self._window("face", read_matte, shape, window)
        elif self.face:
            maps["face"] = np.zeros(window[2:] if window else shape, np.uint8)
        return maps

    def _window(
        self,
        role: str,
        read: Callable[[Path], np.ndarray],
        shape: tuple[int, int],
        window: Window | None = None,
    ) -> np.ndarray:
        """Return the pixels of a role, from the pack if it has them, else from their own file."""
        if self.pack and role in self.pack:
            return self.pack.read(role, window)
        pixels = read(self.files[role])
        if pixels.shape[:2] != tuple(shape):
            found, wanted = (f"{width} x {height} pixels" for height, width in (pixels.shape[:2], shape))
            raise InputError(f"{self.files[role]}: {found}, but its matte {self.files['alpha']} has {wanted}")
        return pixels if window is None else pixels[window.slices]


def read_color(path: Path) -> np.ndarray:
    """Read a photograph as `read_image` does, but faster if the file is plain; the array may be read-only.

    Raises:
        InputError: not a complete image file; the message names it.
    """
    end = _WHOLE_FILE.get(path.suffix.lower())
    if end is None or not path.is_file():
        return read_image(path)
    content = path.read_bytes()
    pixels = None
    # all else is left to Pillow, which rotates, widens and converts, and explains what is wrong with a broken file
    if content.endswith(end) and _is_plain(path):
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    return read_image(path) if pixels is None else pixels


def _is_plain(path: Path) -> bool:
    """Tell whether a file holds upright RGB of 8 bits that OpenCV decodes to the same pixels as Pillow."""
    with image_header(path) as header:
        if header.format == "PNG":
            deep = (
                header.tile[0].args if header.tile else None
            )  # two bytes per channel, which OpenCV rounds differently
            plain = header.mode == "RGB" and deep == "RGB"
            return plain and not {"transparency", "exif"} & header.info.keys() and not getattr(header, "is_animated", 0)
        return header.format == "JPEG" and header.mode == "RGB" and is_upright(header)
