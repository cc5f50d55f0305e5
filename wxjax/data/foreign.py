"""Pictures that are no photographs, which a router must leave alone: text, drawings, noise."""

import cv2
import numpy as np
from jaxtyping import UInt8

WORDS = "the rain in spain stays mainly on a plain 0123456789 haze snow = + ( ) % and so on".split()
KINDS = ("text", "drawing", "noise", "gradient", "lights")


def draw(kind: str, side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """A square picture of one of `KINDS`."""
    return {"text": text, "drawing": drawing, "noise": noise, "gradient": gradient}.get(
        kind, lights
    )(side, rng)


def text(side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Lines of words on a plain page, dark on light or light on dark."""
    dark, light = rng.integers(0, 90, 3), rng.integers(170, 256, 3)
    paper, ink = (light, dark) if rng.random() < 0.7 else (dark, light)
    page = np.full((side, side, 3), paper, np.uint8)
    size = rng.uniform(0.35, 1.2)
    y = int(rng.uniform(10, 30))
    while y < side + 10:
        line = " ".join(rng.choice(WORDS, 12))
        place = (int(rng.uniform(-20, 12)), y)
        color = tuple(int(c) for c in ink)
        cv2.putText(page, line, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
        y += int(26 * size * rng.uniform(1, 1.6)) + 4
    return page


def drawing(side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Flat shapes and lines, as in diagrams and cartoons."""
    page = np.full((side, side, 3), rng.integers(150, 256, 3), np.uint8)
    for _ in range(int(rng.integers(4, 30))):
        color = tuple(int(c) for c in rng.integers(0, 256, 3))
        a, b = rng.integers(-10, side + 10, 2), rng.integers(-10, side + 10, 2)
        width = int(rng.choice([-1, 1, 2, 4]))
        pick = rng.random()
        if pick < 0.4:
            cv2.rectangle(page, a.tolist(), b.tolist(), color, width, cv2.LINE_AA)
        elif pick < 0.7:
            cv2.circle(page, a.tolist(), int(rng.integers(3, side // 3)), color, width, cv2.LINE_AA)
        else:
            cv2.line(page, a.tolist(), b.tolist(), color, max(1, width), cv2.LINE_AA)
    return page


def noise(side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """White noise, grey or coloured, fine or coarse."""
    cells = max(4, int(side / rng.choice([1, 1, 2, 4])))
    field = rng.integers(0, 256, (cells, cells, 3 if rng.random() < 0.6 else 1), np.uint8)
    field = np.broadcast_to(field, (cells, cells, 3)).copy()
    return cv2.resize(field, (side, side), interpolation=cv2.INTER_NEAREST)


def gradient(side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """A plain surface or a smooth change between four colours."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.4:
        corners[:] = corners[0, 0]
    return np.rint(cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR)).astype(
        np.uint8
    )


def lights(side: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Night: stars, or lamps out of focus, on a dark ground."""
    page = np.full((side, side, 3), rng.integers(0, 40, 3), np.float32)
    soft = rng.random() < 0.5
    for _ in range(int(rng.integers(20, 300))):
        center = rng.integers(0, side, 2).tolist()
        radius = int(rng.integers(4, 22)) if soft else 0
        color = (rng.uniform(0.3, 1) * rng.integers(120, 256, 3)).tolist()
        cv2.circle(page, center, radius, color, -1, cv2.LINE_AA)
        if soft and rng.random() < 0.8 and _ > 40:
            break
    page += rng.normal(0, rng.uniform(0, 6), page.shape)
    return np.clip(cv2.GaussianBlur(page, (0, 0), 0.7), 0, 255).astype(np.uint8)
