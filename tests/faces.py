"""Faces and images for tests of face obfuscation."""

import numpy as np


def face_points(center=(100.0, 100.0), size=80.0, degrees=0.0) -> np.ndarray:
    """A plausible face in the order of 300-W: jaw on a half ellipse, brows above, the rest on a grid between."""
    angles = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 * np.cos(angles), 0.65 * np.sin(angles) - 0.15], axis=1)
    left = np.stack([np.linspace(-0.4, -0.1, 5), [-0.3, -0.34, -0.35, -0.34, -0.32]], axis=1)
    right = left[::-1] * [-1, 1]
    rest = np.stack(np.meshgrid(np.linspace(-0.25, 0.25, 7), np.linspace(-0.2, 0.3, 6)), axis=-1).reshape(-1, 2)[:41]
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.concatenate([jaw, left, right, rest]) @ rotation * size + center


def noise(height=200, width=200, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
