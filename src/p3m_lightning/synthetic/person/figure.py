"""A person painted on a plate, from the hair at the back to the hat on top."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.clothes import Cloth, draw_cloth
from p3m_lightning.synthetic.painting.frame import Frame
from p3m_lightning.synthetic.painting.plate import Plate
from p3m_lightning.synthetic.painting.shading import Light
from p3m_lightning.synthetic.person import body, face, garments, hair, haircuts, head, held, view, worn
from p3m_lightning.synthetic.person.easel import Easel
from p3m_lightning.synthetic.person.strands import Strands, paint_strands

FRAMINGS = {  # height of half a head against the image, height of the head's middle
    "close": ((0.25, 0.33), (0.4, 0.5)),
    "shoulders": ((0.16, 0.24), (0.33, 0.45)),
    "half": ((0.1, 0.15), (0.22, 0.36)),
    "knees": ((0.07, 0.095), (0.15, 0.24)),
    "full": ((0.052, 0.064), (0.09, 0.13)),
    "aligned": ((0.21, 0.23), (0.43, 0.45)),  # as in FFHQ: head and shoulders, every face at the same place
}
FRAMING_ODDS = (0.14, 0.42, 0.26, 0.09, 0.09, 0)


class Person(NamedTuple):
    """Everything that is drawn for one person before painting."""

    face: head.Face
    look: face.Look
    style: haircuts.Style | None
    body: body.Body
    pose: head.Pose
    frame: Frame
    hat: str | None
    cloth: Cloth
    glasses: bool
    beard: float  # length in units, 0 for none
    thing: str | None


def draw_person(rng: np.random.Generator, side: int, framing: str | None = None) -> Person:
    """Draw a person for a plate of `side` pixels, `framing` a key of `FRAMINGS` or None for any of them."""
    shape = head.draw_face(rng)
    look = face.draw_look(rng, shape)
    drawn = str(rng.choice(list(FRAMINGS), p=FRAMING_ODDS))
    heights, levels = FRAMINGS[framing or drawn]
    unit, level = rng.uniform(*heights) * side, rng.uniform(*levels) * side
    spread = 0.02 if framing == "aligned" else 0.1 if unit > 0.2 * side else 0.22
    center = np.array([side * np.clip(rng.normal(0.5, 0.6 * spread), 0.5 - spread, 0.5 + spread), level]) - 0.5
    yaw, pitch, roll = np.clip(rng.normal(0, (0.34, 0.11, 0.1)), -0.75, 0.75)
    thing = str(rng.choice(list(held.THINGS))) if rng.random() < (0.2 if unit > 0.15 * side else 0.35) else None
    hat = str(rng.choice(worn.HATS)) if rng.random() < 0.16 else None
    if hat in ("scarf", "veil") and shape.feminine < 0.5:
        hat = "beanie"
    return Person(
        face=shape,
        look=look,
        style=haircuts.draw_style(rng, shape.feminine),
        body=body.draw_body(rng, shape.feminine, thing is not None),
        pose=head.Pose(head.rotation(yaw, pitch, roll), center, unit),
        frame=Frame(
            center - (0, 0.24 * unit),
            unit,
            rng.normal(0, 0.05),
            float(np.clip(0.8 * yaw / 0.5 + rng.normal(0, 0.4), -1, 1)),
        ),
        hat=hat,
        cloth=draw_cloth(rng, None, "knit" if hat == "beanie" else "plain"),
        glasses=bool(rng.random() < 0.2),
        beard=rng.choice([0.06, 0.12, 0.25, 0.5]) if shape.feminine < 0.35 and rng.random() < 0.4 else 0.0,
        thing=thing,
    )


def paint_person(rng: np.random.Generator, plate: Plate, person: Person, light: Light) -> np.ndarray:
    """Paint a person; return the 68 landmarks in pixels of the plate, float (68, 2)."""
    pose, look, easel = person.pose, person.look, Easel(plate, person.frame, light)
    relief = head.make_relief(person.face)
    seen = view.look_at(relief, pose)
    strands = _grow_hair(rng, person)
    if strands is not None:
        paint_strands(plate, strands, pose, light, look.hair, None, front=False)
    if person.hat == "veil":
        worn.paint_veil(rng, easel, pose, person.cloth)
    _paint_body(rng, easel, person)
    _paint_head(rng, plate, person, seen, relief, light)
    if person.beard:
        count = round(np.clip(14 * pose.unit, 500, 3000))
        beard = worn.grow_beard(rng, person.face, relief, count, person.beard, chin_only=rng.random() < 0.25)
        paint_strands(plate, beard, pose, light, look.hair * 0.9, seen, front=True)
    if person.glasses:
        worn.paint_glasses(rng, plate, pose, person.face, relief)
    if strands is not None:
        _paint_front_hair(plate, strands, pose, light, look.hair, seen)
        if person.style is not None and person.style.worn_up and not person.hat:
            worn.paint_bun(rng, plate, pose, look.hair, light)
    if person.hat == "scarf":
        worn.paint_headscarf(easel, pose, person.cloth)
    elif person.hat and person.hat != "veil":
        worn.paint_hat(rng, plate, pose, person.cloth, person.hat, light)
    for index in (0, 1):
        if person.body.arms[index][2, 1] < 2.5:  # a raised hand is in front of the hair
            body.paint_hand(easel, person.body, index, look.skin, 0.2)
    return pose.view(head.landmarks(person.face, relief, pose.rotation))[:, :2]


def _grow_hair(rng: np.random.Generator, person: Person) -> Strands | None:
    if person.style is None or person.hat == "scarf":
        return None
    strands = hair.grow(rng, person.style, round(np.clip(16 * person.pose.unit, 1200, 4000)))
    if person.hat and person.hat != "veil":
        strands = strands._replace(points=_pressed(strands.points))
    return strands


def _paint_body(rng: np.random.Generator, easel: Easel, person: Person) -> None:
    figure, skin = person.body, person.look.skin
    chin = person.pose.rotation @ np.array([0, 0.8, 0.5])
    body.paint_legs(easel, figure, skin)
    garments.paint_hood(easel, figure)
    body.paint_neck(easel, figure, chin[0], skin)
    bare = figure.sleeve <= 0.05
    for index in (0, 1) if bare else ():  # straps lie over bare shoulders, sleeves over the trunk
        body.paint_arm(easel, figure, index, skin)
    garments.paint_torso(rng, easel, figure)
    for index in (0, 1):
        if not bare:
            body.paint_arm(easel, figure, index, skin)
        thing = person.thing if index == 1 else None
        if thing is not None:
            hand = easel.frame.place([figure.arms[1][2] - (0.45, 0.35)])[0]
            unit = 0.9 * easel.frame.unit
            held.paint_thing(rng, easel.plate, thing, hand, unit, rng.normal(0, 0.15), easel.light)
        body.paint_hand(easel, figure, index, skin, 0.8 if thing is not None else rng.uniform(0, 0.7))
    garments.paint_fluff(rng, easel, figure)


def _paint_head(
    rng: np.random.Generator, plate: Plate, person: Person, seen: view.View, relief: head.Relief, light: Light
) -> None:
    pose, skin = person.pose, person.look.skin
    mural = face.paint_face(rng, person.face, person.look, 1.2 * pose.unit)
    near = 1 if pose.rotation[0, 2] < 0 else -1
    turned = abs(pose.rotation[0, 2]) > 0.12
    worn.paint_ear(plate, pose, -near, skin, light)
    if not turned:
        worn.paint_ear(plate, pose, near, skin, light)
    scalp = None
    if person.style is not None:
        scalp = hair.scalp_cover(seen, relief, person.style.hairline), 0.6 * person.look.hair
    view.paint_head(plate, seen, relief, pose, mural, light, scalp)
    if turned:
        worn.paint_ear(plate, pose, near, skin, light)


def _paint_front_hair(
    plate: Plate, strands: Strands, pose: head.Pose, light: Light, color: np.ndarray, seen: view.View
) -> None:
    top = Plate(plate.side)
    paint_strands(top, strands, pose, light, color, seen, front=True)
    window = top.painted()
    if window is None:
        return
    mask = top.pixels[window][..., 3]
    small = cv2.resize(mask, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    move = np.array([[1, 0, -0.012 * pose.unit * light.direction[0]], [0, 1, 0.02 * pose.unit]], np.float32)
    small = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), max(0.6, 0.012 * pose.unit)), move, small.shape[::-1])
    shade = cv2.resize(small, mask.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    plate.darken(window, shade, 0.45)
    plate.over(top)


def _pressed(points: np.ndarray) -> np.ndarray:
    """Return hair as pressed by a hat: points above the skull are moved onto it."""
    offset = points - head.SKULL_CENTER
    distance = np.linalg.norm(offset / head.SKULL_RADII, axis=-1, keepdims=True)
    under = np.clip((-0.1 - points[..., 1:2]) / 0.2, 0, 1)
    return points + offset * (np.minimum(distance, 1.04) / np.maximum(distance, 1e-6) - 1) * under
