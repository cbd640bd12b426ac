"""dlib's face detectors, 68 landmarks and face descriptor, from the wheels of the extra `face`.

The networks are Davis King's (dlib-models), packaged as `face-recognition-models`. The 68-point model was trained on
300-W (Sagonas et al. 2013), whose license is for research: for commercial work, give landmarks of another origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from p3m_lightning.landmarks import FoundFace, merge_faces
from p3m_lightning.privacy.heads import Window, head_windows, holds, tiles
from p3m_lightning.schema import InputError

NOTICE = "dlib's 68-point model was trained on 300-W, which is licensed for research only"
DETECTORS = ("auto", "hog", "cnn", "both")
WINDOW = 80
"""Side in pixels of the smallest face that dlib's detectors find reliably."""
HOG_TILTED = (3, 4)
"""Those of the detector's five parts that find faces tilted by about 30 degrees; landmarks in their boxes are worse."""
MAX_ENLARGEMENT = 4.0
FACE_OF_HEAD = 0.13
"""Side of the smallest face in the head window of a matte, as a share of its shorter side."""


@dataclass(frozen=True)
class DlibFaceFinder:
    """Finds faces of many sizes and tilts, and their 68 landmarks.

    The image is scaled so that the smallest requested face fills the detector's window; dlib's own pyramid finds larger
    ones. Tilted faces are searched in rotated copies, and points are mapped back. Of duplicate detections one is kept:
    those of the histogram detector take precedence over the network's, because the landmark model was trained on its
    boxes, then those of upright faces, then the highest score.

    Missing faces are searched more closely: in the head of every person of the matte without a face so far (with lower
    score limits), or, with "auto", in enlarged tiles of an image without a matte in which no face was found.

    Attributes:
        detector: "hog" (frontal and half-turned faces), "cnn" (also profiles, seconds per image), "both", or "auto":
            upright "hog", and everything else only if a face is missing.
        smallest_face: side of the smallest face to find, as a share of the image's longer side.
        rotations: degrees by which the image is rotated for "hog".
        hog_score: lowest score of "hog" that counts.
        cnn_side: longest side in pixels of the input of "cnn"; it finds faces from a tenth of that.
        cnn_score: lowest score of "cnn" that counts.
        head_hog_score: lowest score of "hog" that counts in the head of a matte.
        head_cnn_score: lowest score of "cnn" that counts there.
    """

    detector: str = "auto"
    smallest_face: float = 0.04
    rotations: tuple[float, ...] = (0, 30, -30, 60, -60)
    hog_score: float = 0.2
    cnn_side: int = 800
    cnn_score: float = 0.5
    head_hog_score: float = 0.1
    head_cnn_score: float = 0.2

    def __post_init__(self):
        if self.detector not in DETECTORS:
            raise InputError(f"detector: {self.detector!r} is not one of {', '.join(DETECTORS)}")
        if not 0 < self.smallest_face <= 1:
            raise InputError(f"smallest_face: {self.smallest_face} is not a share between 0 and 1")

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Find the faces of an image, uint8 RGB (H, W, 3): float (68, 2) each, x and y in its pixels."""
        return [face.points for face in self.look(image)]

    def look(self, image: np.ndarray, person: np.ndarray | None = None) -> list[FoundFace]:
        """Find the faces of an image, with records of how.

        Args:
            image: uint8 RGB (H, W, 3).
            person: matte of the people in it, uint8 or uint16 (H, W), full range.
        """
        whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
        auto = self.detector == "auto"
        found = self._faces(image, "image", whole, (0,) if auto else self.rotations, network=not auto)
        closer = [("head", window) for window in head_windows(person)] if person is not None else []
        if auto and not closer:
            closer = [("image", whole), *[("tile", tile) for tile in tiles(image.shape)]]
        for where, window in closer:
            missing_in = window if where == "head" else whole
            if not any(holds(missing_in, face.points) for face in found):
                found += self._faces(image, where, window, self.rotations, network=True)
        distinct = {id(points) for points in merge_faces([face.points for face in found])}
        return [face for face in found if id(face.points) in distinct]

    def _faces(
        self, image: np.ndarray, where: str, window: Window, rotations: tuple[float, ...], network: bool
    ) -> list[FoundFace]:
        """Search one window with the requested detectors; yield the most trusted face first."""
        cut = np.ascontiguousarray(image[window])
        corner = np.array([window[1].start, window[0].start])
        smallest = self.smallest_face * max(image.shape[:2])
        if where == "head":
            smallest = FACE_OF_HEAD * min(cut.shape[:2])
        fine = min(MAX_ENLARGEMENT, WINDOW / smallest)
        coarse = min(MAX_ENLARGEMENT, self.cnn_side / max(cut.shape[:2]))
        ranked = []
        if self.detector != "cnn":
            ranked += [(2 + upright, face) for upright, face in self._hog(cut, where, fine, rotations)]
        if network and self.detector != "hog":
            ranked += [(1, face) for face in self._cnn(cut, where, coarse if where == "image" else min(fine, coarse))]
        ranked.sort(key=lambda pair: (pair[0], pair[1].score), reverse=True)
        return [replace(face, points=face.points + corner) for _, face in ranked]

    def _hog(
        self, image: np.ndarray, where: str, scale: float, rotations: tuple[float, ...]
    ) -> Iterator[tuple[bool, FoundFace]]:
        lowest = self.head_hog_score if where == "head" else self.hog_score
        for degrees in rotations:
            turned, back = _turned(image, scale, degrees)
            for box, score, part in zip(*_hog_detector().run(turned, 0, lowest), strict=True):
                points = _landmarks(turned, box, back)
                yield part not in HOG_TILTED, FoundFace(points, "hog", where, scale, degrees, score)

    def _cnn(self, image: np.ndarray, where: str, scale: float) -> Iterator[FoundFace]:
        lowest = self.head_cnn_score if where == "head" else self.cnn_score
        turned, back = _turned(image, scale, 0)
        missing = np.maximum(WINDOW - np.array(turned.shape[:2]), 0)  # smaller, it writes out of bounds
        turned = cv2.copyMakeBorder(turned, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        for found in _cnn_detector()(turned, 0):
            if found.confidence >= lowest:
                yield FoundFace(_landmarks(turned, found.rect, back), "cnn", where, scale, 0, found.confidence)


def face_descriptor(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the descriptor of a face by dlib's recognition network; two of one person are usually closer than 0.6.

    Args:
        image: uint8 RGB (H, W, 3).
        landmarks: float (68, 2); the network sees the aligned square around them, including some hair and the ears.

    Returns:
        float64 (128,).
    """
    dlib = _dlib()
    points = dlib.points([dlib.point(round(x), round(y)) for x, y in landmarks])
    (left, top), (right, bottom) = np.rint(landmarks.min(axis=0)), np.rint(landmarks.max(axis=0))
    box = dlib.rectangle(int(left), int(top), int(right), int(bottom))
    shape = dlib.full_object_detection(box, points)
    return np.array(_describer().compute_face_descriptor(np.ascontiguousarray(image), shape))


def _turned(image: np.ndarray, scale: float, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale and rotate an image on a canvas that holds all of it; also return the (2, 3) matrix back."""
    sides = np.array(image.shape[1::-1])
    size = np.maximum(np.rint(sides * scale), 1).astype(int)
    image = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    matrix: np.ndarray = cv2.getRotationMatrix2D(((size - 1) / 2).tolist(), degrees, 1.0)
    canvas = np.rint(np.abs(matrix[:, :2]) @ size).astype(int)
    matrix[:, 2] += (canvas - size) / 2
    turned = cv2.warpAffine(image, matrix, canvas.tolist(), borderMode=cv2.BORDER_REPLICATE) if degrees else image
    back: np.ndarray = cv2.invertAffineTransform(matrix)
    back[:, 2] += 0.5  # scaling preserves the corners of the image, not the centers of its pixels
    back /= (size / sides)[:, None]
    back[:, 2] -= 0.5
    return turned, back


def _landmarks(turned: np.ndarray, box: Any, back: np.ndarray) -> np.ndarray:
    points = np.array([(point.x, point.y) for point in _predictor()(turned, box).parts()], np.float64)
    return points @ back[:, :2].T + back[:, 2]


@cache
def _dlib() -> ModuleType:
    try:
        import dlib
    except ImportError:
        raise InputError(
            "finding faces needs dlib: pip install 'p3m_lightning[face]'; or give the landmarks as JSON"
        ) from None
    return dlib


def _model(name: str) -> str:
    """Return the path of a model file; the package itself cannot be imported, since it needs pkg_resources."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("finding faces needs face-recognition-models: pip install 'p3m_lightning[face]'")
    return str(Path(spec.submodule_search_locations[0]) / "models" / name)


@cache
def _hog_detector() -> Any:
    return _dlib().get_frontal_face_detector()


@cache
def _cnn_detector() -> Any:
    return _dlib().cnn_face_detection_model_v1(_model("mmod_human_face_detector.dat"))


@cache
def _predictor() -> Any:
    return _dlib().shape_predictor(_model("shape_predictor_68_face_landmarks.dat"))


@cache
def _describer() -> Any:
    return _dlib().face_recognition_model_v1(_model("dlib_face_recognition_resnet_model_v1.dat"))
