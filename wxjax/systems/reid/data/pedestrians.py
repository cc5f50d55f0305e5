"""The default re-identification data: synthetic people seen in visible, near-infrared, thermal.

No picture of a person is behind it. What makes it a test of fusion: near-infrared
reflectance is drawn apart from colour, thermal sees bodies and not patterns, at night the
visible picture is nearly black, a bag hides behind its owner, and every camera has its own
colours, blur and background. Scores on it say nothing about real people.
"""

import dataclasses
import functools
from typing import Any

import cv2
import numpy as np

from wxjax import errors

CHANGE = "1"  # of anything that alters the pictures: old inventories then no longer match
SIZE = (128, 64)
OVER = 2  # drawn at this scale and reduced
SPLITS = ("train", "val", "test")
VIEWS = ("front", "back", "side")
MATERIALS = (
    "ground", "wall", "skin", "hair", "top", "top2", "legs", "shoes", "bag", "badge", "occluder",
)  # fmt: skip
CLOTH = np.array(
    [(190, 40, 40), (40, 70, 160), (45, 120, 70), (215, 190, 70), (35, 35, 40), (225, 225, 220),
     (125, 85, 55), (120, 120, 125), (150, 75, 150)]
) / 255  # fmt: skip
HAIR = np.array([(20, 16, 14), (70, 45, 25), (150, 115, 60), (160, 160, 160)]) / 255


@dataclasses.dataclass(frozen=True)
class Camera:
    """What a camera adds: colour gains, blur (pixels), background hue and its temperature."""

    gains: tuple[float, float, float]
    blur: float
    ground: tuple[float, float, float]
    warmth: float


CAMERAS = (
    Camera((1.0, 1.0, 1.0), 0.4, (0.45, 0.44, 0.42), 0.25),
    Camera((0.8, 0.95, 1.2), 0.7, (0.35, 0.45, 0.33), 0.38),
    Camera((1.18, 1.0, 0.78), 0.5, (0.55, 0.47, 0.38), 0.30),
    Camera((0.9, 1.08, 0.92), 0.9, (0.30, 0.32, 0.38), 0.20),
)


def person(seed: int, number: int) -> dict[str, Any]:
    """What stays with a person: build, clothes, and what the clothes are in each band."""
    rng = np.random.default_rng([seed, number, 11])
    cloth = lambda: np.clip(CLOTH[rng.integers(len(CLOTH))] * rng.uniform(0.85, 1.1), 0.02, 0.98)
    colours = np.zeros((len(MATERIALS), 3))
    at = MATERIALS.index
    colours[at("skin")] = np.array([0.85, 0.65, 0.52]) * rng.uniform(0.4, 1.05)
    colours[at("hair")] = HAIR[rng.integers(len(HAIR))]
    for name in ("top", "top2", "legs", "shoes", "bag", "badge"):
        colours[at(name)] = cloth()
    colours[at("occluder")] = 0.3
    infrared = rng.uniform(0.12, 0.9, len(MATERIALS))
    infrared[[at("skin"), at("occluder")]] = 0.62, 0.35
    infrared[at("top2")] = np.clip(infrared[at("top")] + rng.choice([-0.07, 0.07]), 0, 1)
    heat = np.zeros(len(MATERIALS))
    heat[at("skin")] = rng.uniform(0.9, 0.97)
    heat[at("hair")] = rng.uniform(0.66, 0.76)
    heat[at("top")] = heat[at("top2")] = rng.uniform(0.45, 0.8)
    heat[at("legs")], heat[at("shoes")] = rng.uniform(0.42, 0.78), rng.uniform(0.33, 0.5)
    heat[at("bag")], heat[at("badge")] = rng.uniform(0.2, 0.42), heat[at("top")] - 0.05
    return {
        "height": rng.uniform(0.8, 0.95),
        "width": rng.uniform(0.85, 1.2),
        "legs": rng.uniform(0.43, 0.51),
        "hair": int(rng.integers(3)),  # short, long, shaved
        "sleeve": int(rng.integers(2)),
        "lower": int(rng.integers(3)),  # trousers, shorts, skirt
        "coat": bool(rng.random() < 0.25),
        "pattern": int(rng.integers(5)),  # plain, rings, stripes, checks, lower half
        "pitch": int(rng.integers(4, 9)),
        "bag": int(rng.integers(4)),  # none, backpack, held, across
        "badge": (rng.uniform(-0.45, 0.45), rng.uniform(0.2, 0.7), bool(rng.random() < 0.5)),
        "colours": colours,
        "infrared": infrared,
        "heat": heat,
    }


def shot(seed: int, number: int, camera: int, take: int) -> dict[str, Any]:
    """One picture in three bands, uint8 `[3 128 64 3]`, and what is true of it."""
    who = person(seed, number)
    rng = np.random.default_rng([seed, number, camera, take, 12])
    view = int(rng.choice(3, p=[0.4, 0.35, 0.25]))
    night, occluded = bool(rng.random() < 0.4), bool(rng.random() < 0.15)
    labels = draw(who, view, occluded, rng)
    return {
        "image": render(who, labels, CAMERAS[camera], night, rng),
        "view": view,
        "night": night,
        "occluded": occluded,
    }


def draw(who: dict, view: int, occluded: bool, rng: np.random.Generator) -> np.ndarray:
    """A material a pixel, `[256 128]`."""
    h, w = OVER * SIZE[0], OVER * SIZE[1]
    labels = np.zeros((h, w), np.uint8)
    labels[: int(h * rng.uniform(0.3, 0.6))] = MATERIALS.index("wall")
    fill = lambda points, name: cv2.fillPoly(
        labels, [np.round(np.array(points)).astype(np.int32)], MATERIALS.index(name)
    )
    tall = h * who["height"] * rng.uniform(0.94, 1.0)
    x = w / 2 + rng.uniform(-0.06, 0.06) * w
    head = h * 0.03 + rng.uniform(0, 0.03) * h
    foot, neck = head + tall, head + 0.15 * tall
    hip = foot - who["legs"] * tall
    half = who["width"] * w * 0.2 * (0.7 if view == 2 else 1)
    swing = np.sin(rng.uniform(0, 2 * np.pi)) * w * (0.1 if view == 2 else 0.03)
    thick = 0.08 * w * who["width"]
    knee = (hip + foot) / 2
    for side in (-1, 1):
        a, b = x + side * thick, x + side * thick * 1.1 + side * swing
        mid = (a + b) / 2
        shin = "skin" if who["lower"] == 1 else "legs"
        thigh = [(a - thick, hip), (a + thick, hip), (mid + thick * 0.8, knee)]
        fill([*thigh, (mid - thick * 0.8, knee)], "legs")
        calf = [(mid - thick * 0.8, knee), (mid + thick * 0.8, knee), (b + thick * 0.6, foot)]
        fill([*calf, (b - thick * 0.6, foot)], shin)
        sole = (round(b), round(foot - 4)), (round(thick), 8)
        cv2.ellipse(labels, *sole, 0, 0, 360, MATERIALS.index("shoes"), -1)
    if who["lower"] == 2:
        hem = hip + 0.2 * tall
        fill([(x - half, hip), (x + half, hip), (x + 1.2 * half, hem), (x - 1.2 * half, hem)],
             "legs")  # fmt: skip
    hem = hip + (0.14 if who["coat"] else 0.02) * tall
    for side in (-1, 1):
        shoulder, hand = x + side * half * 0.9, x + side * (half * 1.2) - side * swing * 0.5
        elbow = (shoulder + hand) / 2
        arm = 0.045 * w
        for (top, upper), (low, lower), name in (
            ((shoulder, neck + 0.03 * tall), (elbow, (neck + hip) / 2), "top"),
            ((elbow, (neck + hip) / 2), (hand, hip), "top" if who["sleeve"] else "skin"),
        ):
            fill([(top - arm, upper), (top + arm, upper), (low + arm, lower), (low - arm, lower)],
                 name)  # fmt: skip
        centre = (round(hand), round(hip + 0.01 * tall))
        cv2.circle(labels, centre, round(arm), MATERIALS.index("skin"), -1)
    fill([(x - half, neck), (x + half, neck), (x + half * 0.9, hem), (x - half * 0.9, hem)], "top")
    _head(labels, who, view, x, head, neck, tall)
    _carried(labels, fill, who, view, x, half, neck, hip, tall)
    _pattern(labels, who, hip)
    if occluded:
        if rng.random() < 0.5:
            start = int(rng.uniform(0, 0.8) * w)
            labels[:, start : start + w // 8] = MATERIALS.index("occluder")
        else:
            labels[int(h * rng.uniform(0.68, 0.82)) :] = MATERIALS.index("occluder")
    return labels


def _head(labels, who, view, x, head, neck, tall):
    radius = 0.065 * tall
    paint = lambda y, size, name: cv2.ellipse(
        labels, (round(x), round(y)), (round(size[0]), round(size[1])), 0, 0, 360,
        MATERIALS.index(name), -1,
    )  # fmt: skip
    paint(neck - 0.01 * tall, (radius * 0.5, radius * 0.5), "skin")
    if who["hair"] == 1:
        paint(head + 1.5 * radius, (radius * 1.15, radius * 1.6), "hair")
    paint(head + 1.05 * radius, (radius * 0.85, radius * 1.1), "hair" if view == 1 else "skin")
    if who["hair"] < 2:
        paint(head + 0.5 * radius, (radius * 0.9, radius * 0.6), "hair")


def _carried(labels, fill, who, view, x, half, neck, hip, tall):
    box = lambda a, b, c, d, name: fill([(a, b), (c, b), (c, d), (a, d)], name)
    across, down, worn = who["badge"]
    if worn and view == 0:
        y = neck + down * (hip - neck)
        box(x + across * half - 6, y, x + across * half + 6, y + 0.05 * tall, "badge")
    if who["bag"] == 1 and view > 0:
        box(x - 0.7 * half, neck + 0.03 * tall, x + 0.7 * half, hip - 0.05 * tall, "bag")
    if who["bag"] == 2:
        box(x + 1.05 * half, hip, x + 1.05 * half + 22, hip + 0.12 * tall, "bag")
    if who["bag"] == 3:
        fill([(x - 0.9 * half, neck), (x - 0.6 * half, neck), (x + 0.9 * half, hip),
              (x + 0.6 * half, hip)], "bag")  # fmt: skip
        box(x + 0.5 * half, hip - 0.05 * tall, x + 1.2 * half, hip + 0.06 * tall, "bag")


def _pattern(labels, who, hip):
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    rings, stripes = (y // (OVER * who["pitch"])) % 2, (x // (OVER * who["pitch"])) % 2
    second = (None, rings, stripes, rings ^ stripes, y > hip * 0.72)[who["pattern"]]
    if second is not None:
        inside = (labels == MATERIALS.index("top")) & (second > 0)
        labels[inside] = MATERIALS.index("top2")


def render(who, labels, camera: Camera, night: bool, rng: np.random.Generator) -> np.ndarray:
    """Materials seen in three bands, uint8 `[3 128 64 3]`."""
    h, w = labels.shape
    coarse = cv2.resize(rng.random((8, 5)).astype(np.float32), (w, h), interpolation=2)
    behind = labels < 2
    shade = 0.85 + 0.25 * np.cos(np.linspace(-1.4, 1.4, w))[None]
    light = rng.uniform(0.05, 0.16) if night else rng.uniform(0.7, 1.1)

    visible = who["colours"][labels] * shade[..., None]
    visible[behind] = (np.array(camera.ground) * (0.6 + 0.6 * coarse[..., None]))[behind]
    visible = visible * np.array(camera.gains) * light
    if night and rng.random() < 0.3:
        y, x = np.mgrid[:h, :w]
        glare = (y - rng.uniform(0, h)) ** 2 + (x - rng.uniform(0, w)) ** 2
        visible = visible + 0.9 * np.exp(-glare / (0.07 * w * w))[..., None]
    infrared = who["infrared"][labels] * shade * rng.uniform(0.8, 1.15)
    infrared[behind] = (0.2 + 0.35 * coarse)[behind]
    heat = who["heat"][labels]
    around = camera.warmth + rng.uniform(-0.06, 0.06)
    heat[behind] = (around + 0.08 * (coarse - 0.5))[behind]
    heat[labels == MATERIALS.index("occluder")] = around - 0.05

    noise = (0.022 if night else 0.012, 0.02, 0.012)
    bands = zip((visible ** (1 / 1.6), infrared, heat), noise, (0.0, 0.3, 1.0), strict=True)
    return np.stack([_exposed(*band, camera, i, rng) for i, band in enumerate(bands)])


def _exposed(band, noise, blur, camera, number, rng):
    small = cv2.resize(band.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA)
    if number:  # the bands have lenses of their own
        small = np.roll(small, tuple(rng.integers(-1, 2, 2)), (0, 1))
    small = cv2.GaussianBlur(small, (0, 0), camera.blur + blur)
    small = np.clip(small + rng.normal(0, noise, small.shape), 0, 1)
    grey = np.round(255 * small).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, -1)


class Pedestrians:
    """The shots of one split, drawn when first asked for and kept.

    Identities of the splits are disjoint; each is seen by two cameras, every third in
    training by three.
    """

    modalities = ("rgb", "nir", "tir")

    def __init__(self, split: str, *, seed: int = 0, identities: int = 48, takes: int = 4):
        if split not in SPLITS:
            raise errors.unknown("split", split, SPLITS)
        self.split, self.seed = split, seed
        first = 10_000 * SPLITS.index(split)
        self.places = [
            (first + n, camera, take)
            for n in range(identities)
            for camera in self._cameras(n)
            for take in range(takes)
        ]
        self._drawn = functools.lru_cache(maxsize=None)(self._example)

    def _cameras(self, number: int) -> tuple[int, ...]:
        third = (2 + number // 3 % 2,) if self.split == "train" and number % 3 == 0 else ()
        return (0, 1, *third)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._drawn(index)

    def _example(self, index: int) -> dict[str, Any]:
        who, camera, take = self.places[index]
        made = shot(self.seed, who, camera, take)
        return {
            "id": f"{who:06d}_cam{camera + 1}_{take:02d}",
            "image": made["image"],
            "present": np.ones(3, bool),
            "pid": who,
            "camera": np.int32(camera),
            "scene": np.int32(-1),
            "attributes": {
                "light": "night" if made["night"] else "day",
                "occluded": "yes" if made["occluded"] else "no",
                "view": VIEWS[made["view"]],
            },
            "index": np.int32(index),
        }

    @property
    def pids(self) -> np.ndarray:
        return np.array([who for who, _, _ in self.places])

    @property
    def cameras(self) -> np.ndarray:
        return np.array([camera for _, camera, _ in self.places])

    def roles(self) -> np.ndarray:
        """'both': every shot is query and gallery."""
        return np.full(len(self), "both")

    def items(self) -> dict[str, str]:
        return {f"{p:06d}_cam{c + 1}_{t:02d}": f"{CHANGE} {self.seed}" for p, c, t in self.places}

    def __repr__(self) -> str:
        return f"pedestrians({self.split}, {self.seed}, {len(self)}, {CHANGE})"
