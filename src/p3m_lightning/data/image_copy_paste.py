"""P3M-CP at image level: faces of other photographs pasted into the obfuscated faces of the training portraits.

Ma et al., Rethinking Portrait Matting with Privacy Preserving (IJCV 2023), P3M-CP. The authors published the idea and
the defaults of their configuration, not the algorithm; every choice made here is a key as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np

from p3m_lightning.files import plain_name
from p3m_lightning.images import images_by_stem, read_image, read_matte
from p3m_lightning.landmarks import read_landmarks
from p3m_lightning.ops.faces import private_area
from p3m_lightning.schema import InputError


class SourceFace(NamedTuple):
    """A photograph and the mask of its face."""

    image: np.ndarray  # uint8 (H, W, 3)
    mask: np.ndarray  # uint8 (H, W), 255 inside: flat at the brows, down to the chin, no ears or hair


class Placement(NamedTuple):
    """Placement of a source face in another image."""

    center: tuple[float, float]  # x, y of the center of the face's box in the other image
    scale: float
    degrees: float = 0.0
    flip: bool = False


class FaceSource:
    """Faces of a folder of photographs, known by their landmarks or by face masks.

    Args:
        images: folder of photographs.
        landmarks: JSON or folder, see `read_landmarks`; photographs that are not in it, or have no face, are left out.
        masks: folder of face masks by stem, 0 and 255, instead of landmarks; the largest connected part counts.

    Raises:
        InputError: neither or both are given, files are missing or invalid, or there is no face at all.
    """

    def __init__(
        self, images: str | Path, landmarks: str | Path | None = None, masks: str | Path | None = None
    ) -> None:
        if (landmarks is None) == (masks is None):
            raise InputError(f"{images}: faces to paste need either landmarks or masks")
        paths = images_by_stem(images)
        self.faces: list[tuple[Path, np.ndarray | Path]] = []  # photograph, and the landmarks or the mask of a face
        if landmarks is not None:
            found = {plain_name(name): faces for name, faces in read_landmarks(landmarks).items()}
            self.faces = [(path, face) for stem, path in paths.items() for face in found.get(stem, [])]
        elif masks is not None:
            files = images_by_stem(masks)
            self.faces = [(path, files[stem]) for stem, path in paths.items() if stem in files]
        if not self.faces:
            raise InputError(
                f"{images}: none of its images has a face in {landmarks or masks}; do the file names match?"
            )

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> SourceFace:
        path, known = self.faces[index]
        image = read_image(path)
        if isinstance(known, np.ndarray):
            return SourceFace(image, private_area(known, image.shape))
        mask = read_matte(known)
        if mask.shape != image.shape[:2]:
            raise InputError(f"{known}: its size differs from that of {path}; they must be equal")
        return SourceFace(image, _largest_part(mask > np.iinfo(mask.dtype).max // 2))

    def draw(self, generator: np.random.Generator) -> SourceFace:
        """Return a random face that is not empty.

        Raises:
            InputError: ten faces in a row were empty.
        """
        for _ in range(10):
            face = self[int(generator.integers(len(self)))]
            if face.mask.any():
                return face
        raise InputError(f"{self.faces[0][0].parent}: the masks of its faces are empty")


@dataclass(frozen=True)
class FaceJitter:
    """Changes of a source face; the defaults are those of the authors' image-level configuration."""

    rotation: float = 30.0  # degrees, to both sides
    scale: tuple[float, float] = (0.8, 1.2)
    p_flip: float = 0.5

    def draw(self, center: tuple[float, float], size: float, generator: np.random.Generator) -> Placement:
        """Place a face at `center`, with a scale drawn around `size`."""
        return Placement(
            center,
            size * float(generator.uniform(*self.scale)),
            float(generator.uniform(-self.rotation, self.rotation)),
            bool(generator.random() < self.p_flip),
        )


class ImageCopyPaste(A.DualTransform):
    """Image-level copy and paste (ICP): lay a source face into the target's face mask, center on center.

    An albumentations transform of `image` and `foreground`, which are the same inside a face; `face` is the mask of
    the target's faces, and no pixel outside it changes. Pixels that the source does not cover stay obfuscated.

    Args:
        source: the faces to paste.
        rotation: largest rotation of the source in degrees, to both sides (authors: 30).
        scale: smallest and largest factor on the source's size (authors: 0.8 to 1.2).
        p_flip: probability of mirroring the source (authors: 0.5).
        match_size: first resize the source face to the size of the target face; else its pixels keep their size.
        gap: parts of the face mask closer than this share of the image's longer side are one face.
        smallest: faces whose box is smaller than this many pixels are left alone.
        p: probability of pasting (authors: 0.5).
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    class InitSchema(A.core.transforms_interface.BaseTransformInitSchema):
        """The arguments, as albumentations validates them."""

        source: Any
        rotation: float
        scale: Sequence[float]
        p_flip: float
        match_size: bool
        gap: float
        smallest: int

    def __init__(
        self,
        source: FaceSource,
        rotation: float = 30.0,
        scale: Sequence[float] = (0.8, 1.2),
        p_flip: float = 0.5,
        match_size: bool = True,
        gap: float = 0.05,
        smallest: int = 16,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.source = source
        smallest_scale, largest_scale = scale
        self.jitter = FaceJitter(rotation, (smallest_scale, largest_scale), p_flip)
        self.match_size = match_size
        self.gap = gap
        self.smallest = smallest

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Paste a face into each face of the target.

        Raises:
            InputError: the sample has no face mask.
        """
        if "face" not in kwargs:
            raise InputError(
                "P3M-CP needs the masks of the obfuscated faces: data.train.face=true, and a folder of them beside the "
                "images (P3M-10k: facemask; else p3m data anonymize --masks)"
            )
        layers = [role for role in ("image", "foreground") if kwargs.get(role) is not None]
        pasted = {role: kwargs[role].copy() for role in layers}
        for inside in self._target_faces(kwargs["face"]):
            face = self.source.draw(self.random_generator)
            x, y, width, height = cv2.boundingRect(inside)
            size = max(width, height) / max(cv2.boundingRect(face.mask)[2:]) if self.match_size else 1.0
            center = (x + (width - 1) / 2, y + (height - 1) / 2)
            image, mask = place_face(face, self.jitter.draw(center, size, self.random_generator), inside.shape)
            both = (inside > 0) & (mask > 0)
            for role in layers:
                pasted[role][both] = image[both]
        return kwargs | pasted

    def _target_faces(self, face: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the mask, uint8 (H, W), of every face."""
        mask = (face == np.iinfo(face.dtype).max).astype(np.uint8)
        reach = 2 * round(self.gap * max(mask.shape) / 2) + 1
        count, labels = cv2.connectedComponents(cv2.dilate(mask, np.ones((reach, reach), np.uint8)))
        for label in range(1, count):
            inside = mask * (labels == label).astype(np.uint8)
            if max(cv2.boundingRect(inside)[2:]) >= self.smallest:
                yield inside


def place_face(face: SourceFace, placement: Placement, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Warp a photograph into an image of another shape so that its face lands at a given place.

    Args:
        face: the photograph; areas that it does not cover are filled by mirroring it.
        placement: center, scale and rotation.
        shape: (height, width) of the image.

    Returns:
        The photograph, uint8 (height, width, 3), and the mask of its face, uint8 (height, width), 255 inside.
    """
    image, mask, scale = face.image, face.mask, placement.scale
    if scale < 0.5:  # warping alone would skip pixels
        small = [max(1, round(side * scale)) for side in mask.shape[::-1]]
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
        scale = 1.0
    x, y, width, height = cv2.boundingRect(mask)
    middle = (x + (width - 1) / 2, y + (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, placement.degrees, scale)
    if placement.flip:
        matrix = np.array([[-1, 0, 2 * middle[0]], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
    matrix[:, 2] += np.subtract(placement.center, middle)
    size = (shape[1], shape[0])
    placed = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    inside = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)
    return placed, np.where(inside > 127, np.uint8(255), np.uint8(0))


def _largest_part(mask: np.ndarray) -> np.ndarray:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 1:
        return np.zeros(mask.shape, np.uint8)
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    return np.where(labels == largest, np.uint8(255), np.uint8(0))
