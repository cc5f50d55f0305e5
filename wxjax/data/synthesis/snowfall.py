"""Snow that falls through a clip: the flakes of `snow.py`, carried from frame to frame."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from wxjax.data.synthesis import depth as depths
from wxjax.data.synthesis import haze, light, snow


def degrade(
    clean: UInt8[np.ndarray, "t h w 3"],
    rng: np.random.Generator,
    strength: float | None = None,
) -> tuple[UInt8[np.ndarray, "t h w 3"], dict]:
    """Falling snow over a clip, composed in linear light.

    Sizes, opacities and the veil are those of still snow. A layer's flakes share a velocity
    that grows with their size on the picture (what is near passes quickly), with a spread
    and a sway of each flake's own. Depth is one pseudo-depth a clip.

    Args:
      clean: sRGB codes, at least one frame.
      strength: 0 (weak) to 1 (strong); drawn evenly where absent.

    Returns:
      The degraded clip and every parameter drawn, as plain values.
    """
    strength = float(rng.uniform()) if strength is None else float(strength)
    count, h, w, _ = clean.shape
    scale = float(np.clip(min(h, w) / 300, 0.7, 4))
    angle, speed = rng.uniform(-0.7, 0.7), rng.uniform(0.6, 2.0)
    beta = float(rng.uniform(0.01, 0.06) + 0.2 * strength)
    air, white = haze.airlight(rng, 0.65, 0.9), haze.airlight(rng, 0.85, 1.0)
    distance, _ = depths.pseudo(clean[0], rng)
    layers = [
        Layer((h, w), size, scale, angle, speed, strength, rng)
        for size in snow.SIZES
        for _ in range(1 if size[0] == "lens" else 2)
    ]
    out = np.empty_like(clean)
    for t in range(count):
        clear = np.ones((h, w), np.float32)
        for layer in layers:
            clear *= 1 - layer.opacity * layer.draw(t)
        veiled = haze.scatter(light.to_linear(clean[t]), distance, beta, air)
        out[t] = light.to_srgb(white + (veiled - white) * clear[..., None])
    return out, {
        "degradation": "snow",
        "severity": strength,
        "beta": beta,
        "angle": float(angle),
        "layers": [layer.record() for layer in layers],
    }


class Layer:
    """Flakes of one size: where each is at a time, and what they hide."""

    def __init__(self, shape, size, scale, angle, speed, strength, rng):
        name, radii, density, opacity, defocus = size
        self.name, self.shape = name, shape
        self.radius = scale * float(rng.uniform(*radii))
        angle = float(angle + rng.normal(0, 0.15))
        self.speed = float(speed * self.radius * rng.uniform(0.8, 1.6))  # pixels a frame
        self.opacity = float(rng.uniform(*opacity) * (0.7 + 0.3 * strength))
        # The shutter is open for half of a frame's time.
        blur = self.radius * float(rng.uniform(*defocus))
        self.kernel = snow.flake(self.radius, self.speed / 2, angle, blur, rng)
        self.margin = self.kernel.shape[0] // 2
        self.extent = np.array(shape) + 2 * self.margin
        share = density * rng.uniform(0.45, 0.7) * (0.15 + 0.85 * strength) / scale**2
        n = max(1, round(float(share) * float(self.extent.prod())))
        self.start = rng.uniform(0, self.extent, (n, 2))
        way = np.array([np.cos(angle), np.sin(angle)])
        spread = rng.normal(1, 0.15, (n, 1)), rng.normal(0, 0.12, (n, 2))
        self.velocity = self.speed * (way * spread[0] + spread[1])
        self.sway = rng.uniform(0, 0.6 * self.radius, n), rng.uniform(0, 2 * np.pi, n)
        self.strength = rng.uniform(0.35, 1, n).astype(np.float32)

    def draw(self, t: int) -> Float[np.ndarray, "h w"]:
        """Cover in [0, 1] at frame `t`; a flake that leaves comes in again opposite."""
        place = self.start + t * self.velocity
        place[:, 1] += self.sway[0] * np.sin(0.35 * t + self.sway[1])
        place %= self.extent
        field = np.zeros(self.extent, np.float32)
        whole = np.floor(place).astype(int)
        part = (place - whole).astype(np.float32)
        for dy in (0, 1):  # a flake between pixels is shared by four
            for dx in (0, 1):
                share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
                y, x = (whole[:, 0] + dy) % self.extent[0], (whole[:, 1] + dx) % self.extent[1]
                np.add.at(field, (y, x), self.strength * share)
        flipped = self.kernel[::-1, ::-1]
        drawn = cv2.filter2D(field, cv2.CV_32F, flipped, borderType=cv2.BORDER_CONSTANT)
        m = self.margin
        return np.clip(drawn[m : m + self.shape[0], m : m + self.shape[1]], 0, 1)

    def record(self) -> dict:
        fields = ("radius", "speed", "opacity")
        return {"size": self.name, **{name: getattr(self, name) for name in fields}}
