"""The front page's picture: people of packages and rendered portraits, cut out by the network in the box.

    .venv/bin/python docs/front_picture.py

The astronaut is NASA's (scikit-image), the rear admiral the US Navy's (Matplotlib), both in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage import data

import p3m_lightning as p3m
from p3m_lightning.images import write_image
from p3m_lightning.sheets import Panel, sheet
from p3m_lightning.synthetic.background.places import landscape
from p3m_lightning.synthetic.portrait import render_portrait

SIDE = 300  # pixels of a picture's longer side
SEEDS = (3, 21)  # of the rendered portraits; no training saw them
SUNNY = 5  # seed of the landscape behind the cut-outs


def portraits() -> dict[str, np.ndarray]:
    """Return the four photographs, uint8 (H, W, 3), by what is written below them."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        hopper = np.asarray(image.convert("RGB"))
    rendered = {f"rendered, seed {seed}": render_portrait(seed, 768, "shoulders").image for seed in SEEDS}
    return {"Eileen Collins (NASA)": data.astronaut(), "Grace Hopper (US Navy)": hopper, **rendered}


def main() -> None:
    """Write `docs/front.jpg`."""
    predict = p3m.Predictor()
    place = np.uint8(np.clip(landscape(np.random.default_rng(SUNNY), 512), 0, 255))
    rows, notes = [], []
    for name, image in portraits().items():
        matte = predict(image)
        alpha = np.repeat(np.uint8(np.rint(matte.alpha * 255))[..., None], 3, axis=2)
        columns = ("photograph", image), ("matte", alpha), ("another place", matte.composite(place))
        rows.append([Panel(*column) for column in columns])
        notes.append(name)
    write_image(Path(__file__).with_name("front.jpg"), sheet(rows, notes, SIDE), quality=88)


if __name__ == "__main__":
    main()
