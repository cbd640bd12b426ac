"""Temporal smoothing: less flicker from networks that see one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import cv2
import numpy as np

from p3m_lightning.schema import InputError

State = dict[str, np.ndarray]


class Smoother(Protocol):
    """Takes the frames of one clip in order, and returns their alphas in order, possibly some frames later."""

    def push(self, image: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
        """Process one frame, uint8 (H, W, 3) and float32 (H, W) in [0, 1]; return the alphas that are now final."""

    def flush(self) -> list[np.ndarray]:
        """Return the alphas still pending at the end of the clip."""

    def state(self) -> State:
        """Return everything that the next frames depend on, so that another process can continue."""

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""


class NoSmoothing:
    """No smoothing: every frame as the network predicts it."""

    def push(self, image: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
        """Return `alpha`."""
        return [alpha]

    def flush(self) -> list[np.ndarray]:
        """Return nothing."""
        return []

    def state(self) -> State:
        """Return nothing."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing."""


class OneFrameDelay:
    """Replaces one-frame flicker by the mean of the neighboring frames (Ke et al., MODNet, AAAI 2022, OFD).

    A pixel flickers if the frames before and after agree within `threshold` and its own alpha differs from both by
    more. The first and last frames are unchanged, as are changes that last for two frames, or fast motion.
    """

    def __init__(self, threshold: float = 0.1) -> None:
        self.threshold = threshold
        self._raw: list[np.ndarray] = []  # at most the last two frames; the newest is pending

    def push(self, image: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
        """Return the previous frame, which now has both neighbors."""
        waiting = self._raw[-1:]
        final = waiting
        if len(self._raw) == 2:
            before, middle = self._raw
            final = [one_frame_delay(before, middle, alpha, self.threshold)]
        self._raw = [*waiting, alpha]
        return final

    def flush(self) -> list[np.ndarray]:
        """Return the last frame unchanged."""
        final, self._raw = self._raw[-1:], []
        return final

    def state(self) -> State:
        """Return the raw alphas of the last two frames."""
        return {f"raw{i}": alpha for i, alpha in enumerate(self._raw)}

    def restore(self, state: State) -> None:
        """Restore the last two frames."""
        self._raw = [state[f"raw{i}"] for i in range(len(state))]


def one_frame_delay(before: np.ndarray, alpha: np.ndarray, after: np.ndarray, threshold: float) -> np.ndarray:
    """Return `alpha` with its flickering pixels replaced; float32 (H, W) in [0, 1] of three successive frames."""
    agree = np.abs(before - after) <= threshold
    alone = np.minimum(np.abs(alpha - before), np.abs(alpha - after)) > threshold
    return np.where(agree & alone, (before + after) / 2, alpha)


class FlowSmoothing:
    """Averages along the motion of the subject, as far back as it can be followed; without delay.

    The previous result is warped by optical flow (Kroeger et al., Fast Optical Flow using Dense Inverse Search,
    ECCV 2016) wherever the warped color matches the frame. For each pixel, the number of frames that it has
    been followed is counted: the result is the running mean over these, at most `memory`; where motion uncovers
    something, and everywhere after a cut, it starts over. At the edge, where flow mixes two motions, that of the
    subject is used, since the matte moves with it.

    Args:
        memory: in frames; a disturbance of one frame is reduced to 1 / memory, and a real change of the matte without
            motion is delayed by about as many frames.
        tolerance: difference of colors, as a part of the full range, at which a pixel keeps 0.6 of its count.
        side: longer side of the reduced frames that flow is computed on.
        reach: side of the square over which flow is averaged, each pixel weighted by its alpha; as a part of the
            longer side. Limbs that move differently within a square are followed less well.
    """

    def __init__(self, memory: int = 8, tolerance: float = 0.06, side: int = 960, reach: float = 1 / 16) -> None:
        self.memory, self.tolerance, self.side, self.reach = memory, tolerance, side, reach
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: State = {}  # image, alpha (the result) and age, in frames

    def push(self, image: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
        """Return this frame, averaged with the previous ones."""
        age = np.zeros(alpha.shape, np.float32)
        if self._last:
            motion = self._motion(image, alpha)
            carried = carry(self._last["alpha"], motion, cv2.INTER_CUBIC).clip(0, 1)
            age = carry(self._last["age"], motion) * self._trust(image, motion)
            alpha = (alpha + age * carried) / (1 + age)
        self._last = {"image": image, "alpha": alpha, "age": np.minimum(age + 1, self.memory - 1)}
        return [alpha]

    def flush(self) -> list[np.ndarray]:
        """Return nothing: no frame is pending."""
        self._last = {}
        return []

    def state(self) -> State:
        """Return the last frame, its result, and the age of each pixel."""
        return dict(self._last)

    def restore(self, state: State) -> None:
        """Restore the last frame."""
        self._last = dict(state)

    def _motion(self, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return the motion of each pixel of the matte to the last frame, float32 (H, W, 2), x and y in pixels."""
        height, width = alpha.shape
        factor = min(1.0, self.side / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        if min(size) < SMALLEST_FLOW:
            return np.zeros((height, width, 2), np.float32)
        now, before = (
            cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for i in (image, self._last["image"])
        )
        weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None] + BACKGROUND
        square = (2 * round(self.reach * max(size) / 2) + 1,) * 2
        flow = np.asarray(self._flow.calc(now, before, None), np.float32)  # type: ignore[call-overload]  # anew
        flow = np.asarray(cv2.blur(flow * weight, square) / cv2.blur(weight, square)[..., None], np.float32)
        return cv2.resize(flow, (width, height)) * np.array((width / size[0], height / size[1]), np.float32)

    def _trust(self, image: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Return the confidence that each pixel was followed, float32 (H, W) in [0, 1].

        There is no forward-backward check of flow: it fails on flat surfaces, where the matte is certain anyway.
        """
        before = carry(self._last["image"], motion).astype(np.float32)
        if correlation(before, image) < CUT:
            return np.zeros(image.shape[:2], np.float32)
        # slightly blurred, so that camera noise does not count as a change
        difference = cv2.blur(np.abs(before - image).mean(2), (3, 3)) / (255 * self.tolerance)
        return np.exp(-np.square(difference) / 2)


SMALLEST_FLOW = 16
"""Side in pixels below which dense inverse search has no patches; there everything counts as still."""


BACKGROUND = np.float32(0.01)
"""Weight of flow where the matte is 0, so that the background keeps its own motion where no subject is in reach."""

CUT = 0.7
"""If the warped image correlates less than this with the frame, the scene has changed, and matches are accidental.
Measured: at most 0.5 between different scenes, rendered or photographed, at least 0.98 within rendered clips."""


def correlation(before: np.ndarray, image: np.ndarray) -> float:
    """Return the correlation of brightness of two images (H, W, 3), -1 to 1; 1 if one has no contrast."""
    first, second = (cv2.blur(picture.mean(2, dtype=np.float32), (3, 3)) for picture in (before, image))
    first, second = first - first.mean(), second - second.mean()
    energy = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float((first * second).sum()) / energy if energy else 1.0


def carry(values: np.ndarray, motion: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Sample `values` (H, W) or (H, W, C) at p + motion(p) for every pixel p; the border is repeated."""
    height, width = motion.shape[:2]
    places = motion + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    border = cv2.BORDER_REPLICATE
    return cv2.remap(values, places, None, interpolation, borderMode=border)  # type: ignore[call-overload]  # one map


SMOOTHINGS: dict[str, Callable[[], Smoother]] = {
    "none": NoSmoothing,
    "one_frame_delay": OneFrameDelay,
    "flow": FlowSmoothing,
}


def make_smoother(name: str) -> Smoother:
    """Return the smoother called `name`.

    Raises:
        InputError: no such name.
    """
    if name not in SMOOTHINGS:
        raise InputError(f"smoothing={name}: choose from {', '.join(SMOOTHINGS)}")
    return SMOOTHINGS[name]()


def smooth(
    images: Iterable[np.ndarray], alphas: Iterable[np.ndarray], smoothing: str | Smoother = "flow"
) -> Iterator[np.ndarray]:
    """Smooth the alphas of one clip.

    Args:
        images: uint8 (H, W, 3), RGB.
        alphas: float32 (H, W) in [0, 1], one for each image.
        smoothing: a key of `SMOOTHINGS`, or a smoother that has seen no frame yet.

    Yields:
        float32 (H, W) in [0, 1], one for each frame.

    Raises:
        InputError: no such smoothing.
    """
    smoother = make_smoother(smoothing) if isinstance(smoothing, str) else smoothing
    for image, alpha in zip(images, alphas, strict=True):
        yield from smoother.push(image, alpha)
    yield from smoother.flush()
