"""The head as seen by the viewer: ray casting of its relief, light, and the painted face as a texture."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.mural import Mural
from p3m_lightning.synthetic.painting.plate import Plate, Window
from p3m_lightning.synthetic.painting.shading import Light
from p3m_lightning.synthetic.person import head
from p3m_lightning.synthetic.person.head import Pose, Relief

VIEW = 90
"""Largest number of rays per unit; their results are smooth and get enlarged."""
SUBSURFACE = np.array([0.55, 0.28, 0.22], np.float32)
"""Skin lets red light around the terminator further than green and blue."""


class View(NamedTuple):
    """Visible points of a head: coarse maps over a window of the plate."""

    corner: np.ndarray  # (2,), top left corner of the maps in plate pixels
    step: float  # plate pixels per map pixel
    depth: np.ndarray  # (h, w), view space z in units, -9 beside the head
    u: np.ndarray  # (h, w), head space x of the visible point
    v: np.ndarray  # (h, w), head space y
    rear: np.ndarray  # (h, w) bool, the visible point lies on the back


def look_at(relief: Relief, pose: Pose) -> View:
    """Cast rays at the head: march along z, then bisect the interval that contains the surface."""
    step = max(1.0, pose.unit / VIEW)
    reach = 1.22 * pose.unit
    count = int(np.ceil(2 * reach / step))
    corner = pose.center - reach
    axis = ((np.arange(count) + 0.5) * step - reach).astype(np.float32) / np.float32(pose.unit)
    x, y = np.meshgrid(axis, axis)
    back = pose.rotation.T.astype(np.float32)

    surfaces = np.dstack([relief.front, relief.back])

    def outside(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        hx, hy, hz = (back[i, 0] * x + back[i, 1] * y + back[i, 2] * z for i in range(3))
        at = head.pixel_maps(hx, hy)
        both = cv2.remap(surfaces, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(-1.3, -1.3))
        front, rear = hz - both[..., 0], -hz - both[..., 1]
        return np.maximum(front, rear), hx, hy, rear > front

    near = np.full_like(x, 1.15)
    far = np.full_like(x, -9)
    for z in np.arange(1.06, -0.8, -0.11, dtype=np.float32):
        entered = (far < -8) & (outside(np.full_like(x, z))[0] < 0)
        far[entered], near[entered] = z, z + np.float32(0.11)
    hit = far > -8
    low, high = np.where(hit, far, 0), np.where(hit, near, 0)
    for _ in range(6):
        middle = (low + high) / 2
        inside = outside(middle)[0] < 0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    _, u, v, rear = outside(low)
    return View(corner, step, np.where(hit, low, -9).astype(np.float32), u, v, rear)


def paint_head(
    plate: Plate,
    view: View,
    relief: Relief,
    pose: Pose,
    mural: Mural,
    light: Light,
    scalp: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Paint the visible side of a head on a plate.

    Args:
        plate: to paint on.
        view: visible points of the head.
        relief: of the head.
        pose: of the head.
        mural: its painted face.
        light: the lamp.
        scalp: cover by hair, (h, w) like the maps of `view`, and the hair's color.
    """
    side = view.depth.shape[0] * view.step
    window = plate.window(np.array([view.corner, view.corner + side]), 0)
    if window is None:
        return
    hit = (view.depth > -8).astype(np.float32)
    arriving = _arriving(view, relief, pose, light) * hit[..., None]
    spread = cv2.GaussianBlur(hit, (0, 0), 2)[..., None]
    # extend the maps beyond the outline, so that enlarging them does not darken the rim
    arriving = np.where(hit[..., None] > 0, arriving, cv2.GaussianBlur(arriving, (0, 0), 2) / (spread + 1e-4))
    layers = [view.u, view.v, cv2.GaussianBlur(hit, (0, 0), 1.0), hit if scalp is None else scalp[0]]
    maps = _enlarge(np.dstack([*layers, arriving.astype(np.float32)]), view, window)
    at = head.pixel_maps(maps[..., 0], maps[..., 1], mural.density)
    color = cv2.remap(mural.pixels, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if scalp is not None:
        color += 0.85 * maps[..., 3:4] * (scalp[1].astype(np.float32) - color)
    cover = np.clip((maps[..., 2] - 0.5) * np.float32(2.2 * view.step) + 0.5, 0, 1)
    plate.lay(window, color * maps[..., 4:], cover)


def _enlarge(maps: np.ndarray, view: View, window: Window) -> np.ndarray:
    """Enlarge the maps of a view, float32 (h, w, C), to the pixels of a window of the plate."""
    rows, columns = window
    place = np.array([[1 / view.step, 0, 0], [0, 1 / view.step, 0]], np.float32)
    place[:, 2] = (np.array([columns.start, rows.start]) - view.corner + 0.5) / view.step - 0.5
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    groups = [maps[..., :4], maps[..., 4:]]  # OpenCV warps four channels at a time
    return np.dstack(
        [cv2.warpAffine(group, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for group in groups]
    )


def _arriving(view: View, relief: Relief, pose: Pose, light: Light) -> np.ndarray:
    """Return the light at the visible points, (h, w, 3): lamp, shadow of the nose, creases, a little gloss."""
    at = head.pixel_maps(view.u, view.v)
    normals = cv2.remap(relief.normals, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    normals[view.rear, 2] *= -1
    normals = normals @ pose.rotation.T.astype(np.float32)
    lamp = pose.rotation.T @ light.direction
    shade = np.dstack([relief.cavity, _cast(relief, lamp)])
    shade = cv2.remap(shade, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    direct = light._replace(ambient=np.zeros(3)).on(normals, SUBSURFACE) * (1 - 0.75 * shade[..., 1:])
    sky = 0.8 - 0.2 * normals[..., 1:2]
    middle = light.direction - (0, 0, -1)
    gloss = np.clip(normals @ (middle / np.linalg.norm(middle)).astype(np.float32), 0, 1) ** 24
    total = direct + light.ambient * sky + 0.14 * light.key * gloss[..., None] * (1 - shade[..., 1:])
    return total * (1 - np.array([0.35, 0.5, 0.55]) * shade[..., :1])


def _cast(relief: Relief, lamp: np.ndarray) -> np.ndarray:
    """Return the self-shadow of the relief under a lamp in direction (3,) of head space; 0 to 1, (h, w)."""
    height, width = relief.front.shape
    shadow = np.zeros((height, width), np.float32)
    for distance in (0.04, 0.08, 0.12, 0.17, 0.23, 0.3):
        shift = np.array(
            [[1, 0, -lamp[0] * distance * head.RELIEF], [0, 1, -lamp[1] * distance * head.RELIEF]], np.float32
        )
        ahead = cv2.warpAffine(relief.front, shift, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=-1)
        np.maximum(shadow, (ahead - relief.front - np.float32(lamp[2] * distance)) * 22, out=shadow)
    return cv2.GaussianBlur(np.clip(shadow, 0, 1), (0, 0), 1.5)
