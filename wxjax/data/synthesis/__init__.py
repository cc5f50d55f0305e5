"""Physically based haze, rain and snow over a clean photograph, drawn by seed."""

import numpy as np
from jaxtyping import Float, UInt8

from wxjax import errors
from wxjax.data.synthesis import depth as depths
from wxjax.data.synthesis import haze, light, rain, snow

KINDS = {"haze": haze.apply, "rain": rain.apply, "snow": snow.apply}
MIXTURES = ("rain", "snow")  # each over haze


def degrade(
    clean: UInt8[np.ndarray, "h w 3"],
    kind: str,
    rng: np.random.Generator,
    strength: float | None = None,
    depth: Float[np.ndarray, "rows columns"] | None = None,
) -> tuple[UInt8[np.ndarray, "h w 3"], dict]:
    """Weather over a clean photograph, composed in linear light.

    Args:
      clean: sRGB codes.
      kind: 'haze', 'rain', 'snow', or 'mixed' (rain or snow over haze).
      rng: draws every parameter that is not given.
      strength: 0 (weak) to 1 (strong); drawn evenly where absent.
      depth: relative distance, any scale, larger is farther; a pseudo-depth where absent.

    Returns:
      The degraded picture and its record: `degradation`, `severity` (the strength) and
      every parameter drawn, as plain values.

    Raises:
      InputError: for an unknown kind, a strength outside [0, 1], a depth of another size.
    """
    if kind not in KINDS and kind != "mixed":
        raise errors.unknown("kind", kind, [*KINDS, "mixed"])
    strength = float(rng.uniform()) if strength is None else float(strength)
    if not 0 <= strength <= 1:
        raise errors.bad("strength", strength, "expected a number from 0 (weak) to 1 (strong)")
    if depth is not None and depth.shape != clean.shape[:2]:
        raise errors.bad("depth.shape", depth.shape, f"expected {clean.shape[:2]}, as the picture")
    if depth is None:
        distance, parameters = depths.pseudo(clean, rng)
    else:
        distance, parameters = depths.normalize(depth), {"depth": "given"}
    parts = [(kind, strength)]
    if kind == "mixed":
        over = MIXTURES[int(rng.integers(len(MIXTURES)))]
        parts = [("haze", 0.7 * strength), (over, 0.8 * strength)]
    result = light.to_linear(clean)
    for name, share in parts:
        result, parameters[name] = KINDS[name](result, distance, rng, share)
    return light.to_srgb(result), {"degradation": kind, "severity": strength, **parameters}
