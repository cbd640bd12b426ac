"""The head: measures of one person, a relief of the face, its pose, and the 68 landmarks on it.

Head space: the origin lies between the ears, the crown at y = -1, the chin at y = 1 (one unit is half a head), x to the
image's right, y down, z toward the viewer of an unturned head.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from p3m_lightning.synthetic.painting.shading import unit_normals

RELIEF = 96
"""Relief pixels per unit."""
LOW, HIGH = np.array([-1.0, -1.2]), np.array([1.0, 1.25])
"""Corners (x, y) of the area of the relief."""
SKULL_CENTER, SKULL_RADII = np.array([0.0, -0.2, -0.06], np.float32), np.array([0.76, 0.82, 0.88], np.float32)
"""Ellipsoid under the hair."""


class Face(NamedTuple):
    """Measures of one person's head, in units of head space unless stated otherwise."""

    feminine: float  # 0 to 1: jaw, brows, lips
    age: float  # 0 to 1: wrinkles, folds
    jaw: float  # factor of the width below the cheeks
    chin: float  # half width of the chin
    eye_x: float  # center of an eye
    eye_width: float  # half width of an eye
    eye_height: float  # half opening of an eye
    eye_tilt: float  # how much higher the outer corner is
    brow_y: float  # middle of the brows
    brow_arch: float
    nose_width: float
    nose_y: float  # below the nose tip
    nose_depth: float
    mouth_y: float
    mouth_width: float  # half
    lip_upper: float
    lip_lower: float
    smile: float  # how much higher the mouth's corners are
    opening: float  # half opening of the mouth


def draw_face(rng: np.random.Generator) -> Face:
    """Draw a person's measures."""
    feminine = float(np.clip(rng.normal(0.5, 0.4), 0, 1))
    opening = rng.uniform(0.028, 0.055) if rng.random() < 0.35 else 0.0
    return Face(
        feminine=feminine,
        age=rng.uniform() ** 1.5,
        jaw=rng.uniform(0.95, 1.06) - 0.07 * feminine,
        chin=rng.uniform(0.19, 0.27) - 0.06 * feminine,
        eye_x=rng.uniform(0.285, 0.315),
        eye_width=rng.uniform(0.135, 0.155),
        eye_height=rng.uniform(0.036, 0.052) + 0.012 * feminine,
        eye_tilt=rng.normal(0.008, 0.012),
        brow_y=rng.uniform(-0.2, -0.16) - 0.02 * feminine,
        brow_arch=rng.uniform(0.02, 0.06),
        nose_width=rng.uniform(0.13, 0.19) - 0.015 * feminine,
        nose_y=rng.uniform(0.37, 0.42),
        nose_depth=rng.uniform(0.14, 0.21),
        mouth_y=rng.uniform(0.58, 0.62),
        mouth_width=rng.uniform(0.21, 0.26) + (0.03 if opening else 0),
        lip_upper=rng.uniform(0.04, 0.06) + 0.012 * feminine,
        lip_lower=rng.uniform(0.055, 0.08) + 0.012 * feminine,
        smile=rng.uniform(0.02, 0.05) if opening else rng.uniform(-0.01, 0.03),
        opening=opening,
    )


class Pose(NamedTuple):
    """Place and rotation of a head."""

    rotation: np.ndarray  # (3, 3), head space to view space
    center: np.ndarray  # (2,), pixels of the plate
    unit: float  # pixels per unit

    def view(self, points: np.ndarray) -> np.ndarray:
        """Transform head space (..., 3) to view space (..., 3): pixels x and y of the plate, z in units."""
        turned = points @ self.rotation.T
        turned[..., :2] = turned[..., :2] * self.unit + self.center
        return turned


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the matrix (3, 3) that turns right by `yaw`, nods down by `pitch`, tilts clockwise by `roll` radians."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


class Relief(NamedTuple):
    """The head as two height fields over the frontal plane, float32, `RELIEF` pixels per unit."""

    front: np.ndarray  # (h, w), z of the front; falls off steeply outside the head
    back: np.ndarray  # (h, w), -z of the back
    normals: np.ndarray  # (h, w, 3), of the front
    cavity: np.ndarray  # (h, w), 0 to 1: creases that less light reaches


def pixel(points: np.ndarray, density: float = RELIEF) -> np.ndarray:
    """Return pixel coordinates (..., 2) in a map over the frontal plane of head space points (..., 2 or 3)."""
    return (points[..., :2] - LOW) * density - 0.5


def pixel_maps(x: np.ndarray, y: np.ndarray, density: float = RELIEF) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for maps of head space x and y, float32 (h, w) each, for OpenCV's `remap`."""
    scale, half = np.float32(density), np.float32(0.5)
    return (x - np.float32(LOW[0])) * scale - half, (y - np.float32(LOW[1])) * scale - half


def grid(density: float = RELIEF) -> tuple[np.ndarray, np.ndarray]:
    """Return head space x (1, w) and y (h, 1) of the pixels of a map over the frontal plane, float32."""
    width, height = np.rint((HIGH - LOW) * density).astype(int)
    x = ((np.arange(width) + 0.5) / density + LOW[0]).astype(np.float32)
    y = ((np.arange(height) + 0.5) / density + LOW[1]).astype(np.float32)
    return x[None], y[:, None]


def half_width(face: Face, y: np.ndarray) -> np.ndarray:
    """Return the half width of the head at heights y; 0 above the crown and below the chin."""
    j = face.jaw
    heights = [-1.0, -0.97, -0.86, -0.62, -0.3, 0.0, 0.25, 0.48, 0.66, 0.82, 0.92, 0.98, 1.0]
    widths = [
        0,
        0.22,
        0.46,
        0.66,
        0.74,
        0.735,
        0.7,
        0.645 * j,
        0.56 * j,
        0.42 * j,
        face.chin + 0.07,
        0.75 * face.chin,
        0,
    ]
    profile = PchipInterpolator(heights, widths)
    return np.where(np.abs(y) < 1, profile(np.clip(y, -1, 1)), 0)


def _profile(y: np.ndarray) -> np.ndarray:
    heights = [-1.2, -1.0, -0.95, -0.85, -0.7, -0.45, -0.2, -0.02, 0.2, 0.45, 0.6, 0.75, 0.88, 0.96, 1.0, 1.03, 1.25]
    depths = [-1, 0, 0.28, 0.5, 0.67, 0.79, 0.84, 0.79, 0.8, 0.83, 0.84, 0.8, 0.82, 0.74, 0.6, 0.2, -1]
    return PchipInterpolator(heights, depths)(y)


def make_relief(face: Face) -> Relief:
    """Model the head: a profile swept over its widths, with the features of a face added as relief."""
    x, y = grid()
    width = np.maximum(half_width(face, y), 0.02)
    across = 1 - (np.abs(x) / width) ** 2.3
    section = np.sign(across) * np.sqrt(np.abs(across))
    front = np.maximum(_profile(y) * np.where(_profile(y) > 0, section, 1), -1.3)
    front = np.where(np.abs(y) < 1.03, front, -1.3).astype(np.float32)
    front += _features(face, x, y) * np.clip(section, 0, 1)
    behind = PchipInterpolator([-1.25, -1, -0.95, -0.8, -0.5, -0.2, 0.1, 0.4, 0.65, 0.85, 1.3], _BEHIND)(y)
    back = np.where(behind > 0, behind * section, behind).astype(np.float32)
    front, back = cv2.GaussianBlur(front, (0, 0), 1.4), np.maximum(back, -1.3)
    hollow = cv2.GaussianBlur(front, (0, 0), 5) - front
    return Relief(front, back, unit_normals(front * RELIEF), np.clip(hollow * 14, 0, 1))


_BEHIND = [-1.3, 0, 0.35, 0.62, 0.86, 0.92, 0.85, 0.6, 0.3, 0, -0.6]
"""Depth of the back of the head, crown to nape."""


def _features(face: Face, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the relief of a face to add to a smooth head, (h, w)."""

    def bump(cx: float, cy: float, rx: float, ry: float, height: float) -> np.ndarray:
        return height * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    tip = face.nose_y - 0.08
    run = np.clip((y + 0.1) / (tip + 0.1), 0, 1)
    ridge = face.nose_depth * (0.12 + 0.88 * run**1.6) * np.clip((y + 0.22) / 0.15, 0, 1)
    beyond = np.where(y > tip, np.exp(-(((y - tip) / 0.065) ** 2)), 1)
    broad = 0.055 + 0.5 * face.nose_width * run**1.5
    total = ridge * beyond * np.exp(-(np.abs(x / broad) ** 2.2))
    total = total + bump(0, tip - 0.005, 0.07, 0.065, 0.035)
    mouth, corner = face.mouth_y, face.mouth_width
    for side in (-1, 1):
        total += bump(side * face.nose_width * 0.72, face.nose_y - 0.055, 0.05, 0.05, 0.06)
        total += bump(side * face.eye_x, -0.01, 0.17, 0.11, -0.1)  # socket
        total += bump(side * face.eye_x, 0.0, 0.11, 0.07, 0.06)  # eyeball
        total += bump(side * face.eye_x, face.brow_y + 0.02, 0.2, 0.06, 0.045 - 0.025 * face.feminine)
        total += bump(side * 0.42, 0.2, 0.17, 0.13, 0.05 + 0.5 * max(face.smile, 0))  # cheek
        total += bump(side * (corner + 0.02), mouth - face.smile, 0.05, 0.06, -0.03)
        total += bump(side * 0.45, 0.5, 0.16, 0.16, -0.03 - 0.03 * face.age)  # hollow of the cheek
    total += bump(0, mouth - face.lip_upper / 2 - face.opening, corner * 0.75, 0.04, 0.04)
    total += bump(0, mouth + face.lip_lower / 2 + face.opening, corner * 0.65, 0.045, 0.05)
    total += bump(0, mouth, corner * 0.9, 0.012, -0.03)
    total += bump(0, mouth + face.lip_lower + 0.06, 0.12, 0.04, -0.035)
    total += bump(0, 0.9, 0.12, 0.08, 0.04)
    total += bump(0, (face.nose_y + mouth - face.lip_upper) / 2, 0.022, 0.05, -0.018)
    return total.astype(np.float32)


def lift(relief: Relief, points: np.ndarray) -> np.ndarray:
    """Put frontal points (N, 2) on the surface: (N, 3)."""
    at = pixel(points).astype(np.float32)
    z = cv2.remap(relief.front, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
    return np.column_stack([points, np.maximum(z, -0.1)])


def eye_outline(face: Face, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and lower lid of an eye (side -1: image left, 1: right), (9, 2) each from the outer corner."""
    t = np.linspace(0, 1, 9)
    x = side * (face.eye_x + face.eye_width * (1 - 2 * t))
    line = -face.eye_tilt * (1 - 2 * t)
    upper = line - 1.25 * face.eye_height * np.sin(np.pi * t**0.95) ** 0.85
    lower = line + 0.75 * face.eye_height * np.sin(np.pi * t**1.1)
    return np.column_stack([x, upper]), np.column_stack([x, lower])


def brow_line(face: Face, side: int) -> np.ndarray:
    """Return the middle line of a brow, (5, 2) from the outer end inward."""
    x = side * np.linspace(face.eye_x + 0.2, face.eye_x - 0.165, 5)
    y = face.brow_y + np.array([0.045, -0.005, -0.02, -0.008, 0.02]) - face.brow_arch * np.array([0, 0.7, 0.9, 0.4, 0])
    return np.column_stack([x, y])


def lips(face: Face) -> dict[str, np.ndarray]:
    """Return lines of the mouth, (7, 2) from left to right: `top`, `upper` (inner), `lower` (inner), `bottom`."""
    t = np.linspace(-1, 1, 7)
    x, line = t * face.mouth_width, face.mouth_y - face.smile * t**2
    bow = np.array([0, 0.62, 1.0, 0.86, 1.0, 0.62, 0])
    arch = 1 - np.abs(t) ** 2.2
    return {
        "top": np.column_stack([x, line - face.lip_upper * bow - face.opening * arch]),
        "upper": np.column_stack([x * 0.96, line - face.opening * arch]),
        "lower": np.column_stack([x * 0.96, line + face.opening * arch]),
        "bottom": np.column_stack([x, line + face.lip_lower * arch**0.8 + face.opening * arch]),
    }


def landmarks(face: Face, relief: Relief, rotation: np.ndarray) -> np.ndarray:
    """Return the 68 points of the 300-W scheme in head space, (68, 3), for a head turned by `rotation`.

    The jaw is as annotators see it: on the cheek turned away, its points lie on the visible outline.
    """
    y = np.array([-0.03, 0.14, 0.3, 0.45, 0.6, 0.74, 0.86, 0.94, 0.975])
    x = np.append(0.965 * half_width(face, y[:-1]), 0)
    x[6:8] *= (0.97, 0.75)
    left, right = (_outermost(relief, rotation, side * x, y) for side in (-1, 1))
    jaw = np.concatenate([left, right[-2::-1]])
    brows = np.concatenate([brow_line(face, -1), brow_line(face, 1)[::-1]])
    bridge = np.column_stack([np.zeros(4), np.linspace(-0.02, face.nose_y - 0.07, 4)])
    nostrils = face.nose_width * np.array([-0.75, -0.4, 0, 0.4, 0.75])
    base = np.column_stack([nostrils, face.nose_y + np.array([0, 0.012, 0.02, 0.012, 0])])
    (left_up, left_low), (right_up, right_low) = eye_outline(face, -1), eye_outline(face, 1)
    left_eye = np.concatenate([left_up[[0, 3, 5, 8]], left_low[[5, 3]]])
    right_eye = np.concatenate([right_up[[8, 5, 3, 0]], right_low[[3, 5]]])
    mouth = lips(face)
    outer = np.concatenate([mouth["top"], mouth["bottom"][5:0:-1]])
    inner = np.concatenate([mouth["upper"][[0, 2, 3, 4, 6]], mouth["lower"][[4, 3, 2]]])
    inner_points = lift(relief, np.concatenate([brows, bridge, base, left_eye, right_eye, outer, inner]))
    return np.concatenate([jaw, inner_points])


def _outermost(relief: Relief, rotation: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the outermost visible points, (N, 3), of the surface between the middle and points (x, y) of one side."""
    share = np.linspace(0.4, 1, 25)
    points = np.stack([share * x[:, None], np.broadcast_to(y[:, None], (len(y), 25))], axis=-1)
    points = lift(relief, points.reshape(-1, 2)).reshape(len(y), 25, 3)
    down = rotation[:2, 1] / np.linalg.norm(rotation[:2, 1])
    outwards = np.sign(x.sum()) * np.array([down[1], -down[0]])
    best = ((points @ rotation.T)[..., :2] @ outwards).argmax(axis=1)
    return points[np.arange(len(y)), best]
