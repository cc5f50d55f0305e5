"""A view at hours that were given and at hours that were not: opponents, rows, means.

The two are never mixed: `given` is reconstruction, `hidden` is prediction. Frames are
`[t h w 3]`; opponents are closed forms of the frames a model was given, on values in [0, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from wxjax.evaluate import runner
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import sun, timeline

CAP = 60.0  # dB that an hour counts at most: nights are equal to the bit
PARTS = ("given", "hidden")
NIGHT = -12.0  # degrees: hours whose sun is higher count as day
STILL = 0.002  # mean change to a neighbour of an hour that counts as day, where no sun is known


def picture(frames: np.ndarray) -> np.ndarray:
    """float32 in [0, 1] of uint8; floats as they are."""
    return frames / np.float32(255) if frames.dtype == np.uint8 else frames


def baseline(hours: np.ndarray, frames: np.ndarray, hour: float, period: float, noon=12.0):
    """The frame nearest to noon, whatever the hour."""
    apart = np.abs((hours - noon + period / 2) % period - period / 2)
    return picture(frames[apart.argmin()])


def previous(hours: np.ndarray, frames: np.ndarray, hour: float, period: float):
    """The last frame given before the hour."""
    return picture(frames[((hour - hours) % period).argmin()])


def interpolate(between: Callable, hours, frames, hour: float, period: float) -> np.ndarray:
    """`timeline.linear` or `timeline.cubic` between the frames around the hour."""
    at = around(hours, hour, period)
    chosen = picture(frames[np.asarray(at.index[:, 0])])
    own = at._replace(index=np.arange(4)[:, None])
    flat = np.moveaxis(chosen.reshape(1, 4, -1, 1), 1, 2)
    return np.asarray(jax.jit(between)(own, flat)).reshape(chosen.shape[1:])


def around(hours, hour: float, period: float) -> timeline.Bracket:
    keep = np.ones((1, len(hours)), bool)
    given = (np.asarray(hours, np.float32), keep, np.float32(hour)[None])
    return _bracket(*given, period=period)


_bracket = jax.jit(timeline.bracket, static_argnames="period")


def svd(hours, frames, hour: float, period: float, rank: int) -> np.ndarray:
    """Truncated singular vectors over time; between given hours their coefficients by PCHIP."""
    curves, pictures = bases.components(picture(frames), min(rank, len(frames)))
    flat = np.ascontiguousarray(curves.T[None, :, :, None])
    now = jax.jit(timeline.cubic)(around(hours, hour, period), flat)[0, :, 0]
    return np.tensordot(np.asarray(now), pictures, 1)


def regression(hours, frames, hour: float, period: float, features: Callable, ridge=1e-2):
    """Every pixel as a ridge regression on features of the hour, with a constant."""
    design, wanted = (
        np.concatenate([np.ones((len(t), 1)), features(np.asarray(t, np.float64))], 1)
        for t in (hours, [hour])
    )
    gram = design.T @ design + ridge * np.eye(design.shape[1])
    shares = wanted @ np.linalg.solve(gram, design.T)
    return np.tensordot(shares[0].astype(np.float32), picture(frames), 1)


def opponents(place: Mapping, lights: Sequence, period: float, solar: bool) -> dict[str, Callable]:
    """name -> `(hours, frames, hour, period) -> picture`, all in closed form."""
    found: dict[str, Callable] = {
        "baseline": baseline,
        "previous": previous,
        "linear": lambda *a: interpolate(timeline.linear, *a),
        "pchip": lambda *a: interpolate(timeline.cubic, *a),
        "svd8": lambda *a: svd(*a, rank=8),
    }
    if solar:
        where = (place["latitude"], place["declination"], place["shift"])
        features = lambda t: sun.features(t, *where, lights=lights, period=period)
        found["ridge"] = lambda *a: regression(*a, features)
    else:
        features = lambda t: sun.harmonics(t, 2, period)
        found["ridge"] = lambda *a: regression(*a, features)
    return found


def daylight(hours, frames, place: Mapping, period: float, solar: bool) -> np.ndarray:
    """Which hours count as day `[t]`: the sun above -12 degrees where it is known to stand
    (`place`, as configured, not as fitted), else hours that change."""
    hours = np.asarray(hours, np.float64)
    if solar:
        where = (place["latitude"], place["declination"], place["shift"])
        return sun.position(hours * 24 / period, *where)[1] > NIGHT
    values = picture(np.asarray(frames))
    if len(values) < 2:
        return np.ones(len(values), bool)
    change = np.abs(values - np.roll(values, 1, 0)).mean((1, 2, 3))
    return np.maximum(change, np.roll(change, -1)) > STILL


def rows(
    variants: Mapping[str, Callable],
    parts: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    measure: Callable,
    rounded: Callable = runner.round8,
    keep: Callable | None = None,
) -> list[dict]:
    """A row an hour and variant.

    Args:
      variants: name -> `hour -> picture [h w 3]`.
      parts: 'given' and 'hidden' -> (hours, truth, whether it is day).
      measure: `(outputs, batch) -> {name: [b]}`; rounded: a picture as its file would hold it.
      keep: called with part, hour and {variant: rounded picture}.
    """
    found = []
    work = [(part, *row) for part, entry in parts.items() for row in zip(*entry, strict=True)]
    for part, hour, truth, day in runner.track(work, len(work), "evaluate"):
        hour = float(hour)
        pictures = {name: rounded(np.asarray(make(hour))) for name, make in variants.items()}
        scores = runner.score(measure, {"id": f"{hour:g}", "target": truth}, pictures)
        for name, values in scores.items():
            row = {"part": part, "hour": hour, "day": bool(day), "variant": name}
            found.append({**row, "metrics": values})
        if keep:
            keep(part, hour, {**pictures, "truth": truth})
    return found


def means(found: Sequence[Mapping], variant: str, part: str) -> dict[str, Any] | None:
    """Day and all-hours means of one variant: PSNR capped an hour, pooled from the mean MSE."""
    chosen = [row for row in found if row["variant"] == variant and row["part"] == part]
    if not chosen:
        return None
    out: dict[str, Any] = {"hours": len(chosen), "days": sum(row["day"] for row in chosen)}

    def psnr(row):
        value = row["metrics"]["psnr"]
        return CAP if value is None else min(CAP, value)

    for name, rows_ in (("day", [r for r in chosen if r["day"]]), ("all", chosen)):
        if not rows_:
            continue
        out[name] = {
            "psnr": float(np.mean([psnr(row) for row in rows_])),
            "ssim": float(np.mean([row["metrics"]["ssim"] for row in rows_])),
            "lpips": float(np.mean([row["metrics"]["lpips"] for row in rows_])),
        }
    error = np.mean([row["metrics"]["mse"] for row in chosen])
    out["pooled"] = float(min(CAP, -10 * np.log10(error + 1e-12)))
    worst = min(chosen, key=psnr)
    out["worst"] = {"hour": worst["hour"], "psnr": psnr(worst)}
    return out


class Renderer:
    """A task's `predict` at single hours, compiled once."""

    def __init__(self, task: Any, variables: Any):
        self._predict = jax.jit(task.predict)
        self._variables = jax.device_put(task.prepare(variables))

    def __call__(self, hour: float) -> np.ndarray:
        """`[h w 3]`, unclipped."""
        batch = {"time": np.float32(hour)[None]}
        return np.asarray(self._predict(self._variables, batch)["image"][0])

    def pixels(self, hour: float, coords: np.ndarray) -> np.ndarray:
        """`[n 3]` of the pixels (y, x) `[n 2]`."""
        batch = {"time": np.float32(hour)[None], "coords": np.asarray(coords, np.int32)[None]}
        return np.asarray(self._predict(self._variables, batch)["image"][0])
