"""What a field is told of the hour and of the place."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.systems.tod import sun

TIMES = ("harmonic", "sun", "both")
PLACES = ("octave", "origin")


def check(model: Any, frames: int) -> None:
    """Raises InputError for an unknown code, or more harmonics than frames can tell apart."""
    if model.time_code not in TIMES:
        raise errors.unknown("model.time_code", model.time_code, TIMES)
    if model.xy_code not in PLACES:
        raise errors.unknown("model.xy_code", model.xy_code, PLACES)
    if model.time_code != "sun" and 2 * model.time_harmonics >= frames > 0:
        most = max(1, (frames - 1) // 2)
        raise errors.bad(
            "model.time_harmonics",
            model.time_harmonics,
            f"{frames} frames cannot tell {2 * model.time_harmonics} waves apart",
            f"Try {most}.",
        )


def sun_start(model: Any) -> dict[str, Array]:
    """Latitude, declination (degrees) and shift (hours), as leaves that can be trained."""
    return {name: jnp.float32(model[name]) for name in ("latitude", "declination", "shift")}


def time_size(model: Any) -> int:
    waves = 2 * model.time_harmonics
    return {"harmonic": waves, "sun": sun.FEATURES, "both": waves + sun.FEATURES}[model.time_code]


def time(model: Any, place: Mapping[str, Any], hour: Float[Array, "*b"]) -> Float[Array, "*b k"]:
    """The code of every hour; `place`: `sun_start`, or what training made of it."""
    parts = []
    if model.time_code != "sun":
        parts.append(sun.harmonics(hour, model.time_harmonics, model.period))
    if model.time_code != "harmonic":
        parts.append(light(model, place, hour))
    return jnp.concatenate(parts, -1)


def light(model: Any, place: Mapping[str, Any], hour: Float[Array, "*b"]) -> Float[Array, "*b 7"]:
    """`ops.sun.features` under the config's lights and period."""
    where = (place["latitude"], place["declination"], place["shift"])
    return sun.features(hour, *where, lights=lights(model), period=model.period)


def lights(model: Any) -> tuple[tuple[float, float], ...]:
    """(on, off) hours; `model.lights` lists them in turn, and may be empty."""
    flat = tuple(model.lights)
    if len(flat) % 2:
        raise errors.bad("model.lights", flat, "expected hours in pairs, on and off")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def octaves(height: int, width: int) -> int:
    """How many octaves reach a wave of eight pixels: ceil(log2(max(h, w) / 8))."""
    return max(1, math.ceil(math.log2(max(height, width) / 8)))


def place(model: Any, xy: Float[Array, "*n 2"], height: int, width: int) -> Float[Array, "*n k"]:
    """The code of places, x and y in [-1, 1] at pixel centres.

    'octave': sin, cos of pi 2^j x; no two places share a code. 'origin', of the source: sin, cos
    of 2 pi k x, whose period is half the picture.
    """
    count = model.xy_harmonics or octaves(height, width)
    waves = [
        jnp.pi * 2**j if model.xy_code == "octave" else 2 * jnp.pi * (j + 1) for j in range(count)
    ]
    parts = [xy] if model.xy_include_input else []
    parts += [fn(xy * wave) for wave in waves for fn in (jnp.sin, jnp.cos)]
    return jnp.concatenate(parts, -1)


def centres(y: Any, x: Any, height: int, width: int) -> Float[Array, "*n 2"]:
    """Pixel indices (also fractional ones) as x, y in [-1, 1], float32."""
    x, y = (jnp.asarray(v, jnp.float32) for v in (x, y))
    return jnp.stack([(x + 0.5) / width * 2 - 1, (y + 0.5) / height * 2 - 1], -1)
