"""Where the sun stands, and what light depends on: functions of the hour.

Arrays of any library with an array namespace (NumPy, JAX) come in and go out. Hours are in
[0, 24); of any other period the hour is what the period's phase is on a day. Angles in degrees.
"""

from collections.abc import Sequence

FEATURES = 7  # of `features`
SIGHT = 1e-3  # hours: a lamp switched at 18.1 is on at a float32 of 18.1


def position(hour, latitude=40.0, declination=0.0, shift=0.0):
    """Unit vector to the sun (east, north, up) `[* 3]` and its altitude in degrees `[*]`.

    sin(alt) = sin f sin d + cos f cos d cos w, w = 15 deg (hour - 12 - shift); azimuth from
    south, positive to the west (Meeus, Astronomical Algorithms, ch. 13).
    """
    xp = hour.__array_namespace__()
    w, f, d = (_radians(x) for x in (15 * (hour - 12 - shift), latitude, declination))
    sin_f, cos_f, sin_d, cos_d = (fn(xp.asarray(x)) for x in (f, d) for fn in (xp.sin, xp.cos))
    up = sin_f * sin_d + cos_f * cos_d * xp.cos(w)
    west = cos_d * xp.sin(w)
    south = cos_d * xp.cos(w) * sin_f - sin_d * cos_f
    altitude = xp.atan2(up, xp.sqrt(west**2 + south**2 + 1e-12)) * (180 / 3.141592653589793)
    return xp.stack([-west, -south, up], axis=-1), altitude


def _radians(degrees):
    return degrees * (3.141592653589793 / 180)


def lamp(hour, lights: Sequence[Sequence[float | int]], period: float = 24.0):
    """1 where a lamp burns: within one of `lights` (on, off), each switch included; else 0."""
    xp = hour.__array_namespace__()
    burns = xp.zeros_like(hour)
    for on, off in lights:
        inside = (hour - on + SIGHT) % period <= (off - on) % period + 2 * SIGHT
        burns = xp.where(inside, xp.ones_like(hour), burns)
    return burns


def features(
    hour,
    latitude=40.0,
    declination=0.0,
    shift=0.0,
    lights: Sequence[Sequence[float | int]] = ((18.1, 5.9),),
    period: float = 24.0,
):
    """What the light of a scene depends on, `[* 7]`: smooth in the hour but for the lamps.

    The sun's vector (east, north, up) under a gate that closes at 1 degree below the horizon,
    sigmoid(alt / 3), the twilight bump exp(-(alt / 8)^2), the gated root of up, and `lamp`.
    """
    xp = hour.__array_namespace__()
    vector, altitude = position(hour * (24 / period), latitude, declination, shift)
    gate = xp.clip((altitude + 1) / 2, 0, 1)
    up = vector[..., 2]
    root = xp.sqrt(xp.where(up > 1e-6, up, xp.ones_like(up))) * (up > 1e-6)
    return xp.stack(
        [
            *(gate * vector[..., i] for i in range(3)),
            1 / (1 + xp.exp(-altitude / 3)),
            xp.exp(-((altitude / 8) ** 2)),
            gate * root,
            lamp(hour, lights, period),
        ],
        axis=-1,
    )


def harmonics(hour, count: int, period: float = 24.0):
    """sin and cos of 2 pi k hour / period for k = 1 .. count, `[* 2 count]`."""
    xp = hour.__array_namespace__()
    waves = [fn(hour * (2 * xp.pi * k / period)) for k in range(1, count + 1)
             for fn in (xp.sin, xp.cos)]  # fmt: skip
    return xp.stack(waves, axis=-1)
