"""StyleMatteGAN of seconds: discs of 16 pixels, learned by narrow networks."""

from pathlib import Path

import numpy as np

from p3m_lightning.images import write_image

TICK, TICKS = 120, 3
TINY = [
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
    "resolution=16",
    f"images={TICK * TICKS}",
    "data.portraits.name=rgba",
    "data.portraits.images=null",
    "data.portraits.foreground=false",
    "data.prepare=null",
    f"data.tick={TICK}",
    "generator.noise=8",
    "generator.latent=16",
    "generator.layers=4",
    "generator.margin=2",
    "generator.max_channels=16",
    "discriminator.base_channels=256",
    "discriminator.max_channels=16",
    "vision.features.size=32",
    "vision.width=8",
    f"recipe.vision_warmup={TICK}",
    "recipe.averaging.half_life=100",
    "recipe.penalty.gamma=1",
    "optimizers.generator.lr=1.5e-3",
    "optimizers.discriminator.lr=1e-3",
    "controller.images=2000",
    "callbacks.distance.count=64",
    "callbacks.snapshots.columns=4",
    "callbacks.snapshots.rows=2",
    "callbacks.progress=null",
]
"""Overrides of `p3m gan train`."""

SHORT = ["data.tick=16", "recipe.vision_warmup=16", "recipe.penalty.interval=2", "callbacks.distance.count=8"]
"""Overrides besides, for a run of a few steps."""


def write_discs(root: Path) -> Path:
    """Write colored discs on nothing into `root`/rgba, and backgrounds."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for k in range(32):
        center, radius = generator.uniform(6, 10, 2), generator.uniform(4, 6)
        alpha = np.clip(radius - np.hypot(x - center[0], y - center[1]) + 0.5, 0, 1)
        color = np.array([200, 90, 60]) + generator.uniform(-40, 40, 3)
        rgba = np.dstack([np.broadcast_to(color, (16, 16, 3)), 255 * alpha])
        write_image(root / "rgba" / f"{k:02}.png", rgba.astype(np.uint8))
        if k < 3:
            write_image(root / "backgrounds" / f"{k}.png", generator.integers(256, size=(16, 16, 3), dtype=np.uint8))
    return root
