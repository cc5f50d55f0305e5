"""A trained view as files: pictures at any hours, a film of the day, a baked basis, a page."""

import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from wxjax import errors, files
from wxjax.data import video
from wxjax.evaluate import runner
from wxjax.systems.tod import basis as bases
from wxjax.systems.tod import measure as measuring
from wxjax.systems.tod import page, training
from wxjax.train import weights

PAGE_WIDTH = 640  # pixels: wider views are shown at every second, third ... pixel on the page
FILMS = (".gif", ".mp4")


def moments(text: str, period: float) -> list[float]:
    """Hours of `18.25`, `6,7.5,18` or `first:last:step` (ends included).

    Raises:
      InputError: for anything else.
    """
    try:
        if ":" in text:
            first, last, step = (float(x) for x in text.split(":"))
            if not 0 < step <= period or last < first:
                raise ValueError
            return [first + i * step for i in range(int((last - first) / step + 1e-6) + 1)]
        return [float(x) for x in text.split(",")]
    except ValueError:
        rule = "expected an hour, hours with commas, or first:last:step such as 0:23.5:0.5"
        raise errors.bad("--time", text, rule) from None


def renderer(config: ConfigDict, workdir: pathlib.Path, baked: bool) -> tuple[Callable, dict]:
    """`hour -> [h w 3]` of the trained view, or of its baked basis; and what is known of it."""
    _, about = weights.load(workdir / "system")
    if baked:
        return bases.load(workdir / "basis.npz"), about
    task, variables, about = training.system(workdir, config)
    return measuring.Renderer(task, variables), about


def render(
    config: ConfigDict, workdir: pathlib.Path, hours: Sequence[float], out: pathlib.Path, *,
    baked: bool = False, rate: float = 12.0,
) -> list[pathlib.Path]:  # fmt: skip
    """Pictures at `hours`: one file, a folder of `HH.HH.png`, or a film by `out`'s ending."""
    make, about = renderer(config, workdir, baked)
    frames = (
        developed(make(hour), about["model"])
        for hour in runner.track(list(hours), len(hours), "render")
    )
    if out.suffix.lower() in FILMS:
        write_film(out, frames, rate)
        return [out]
    if len(hours) == 1 and out.suffix:
        return [write_picture(out, next(iter(frames)))]
    names = (out / f"{hour:05.2f}.png" for hour in hours)
    return [write_picture(name, frame) for name, frame in zip(names, frames, strict=True)]


def developed(picture: np.ndarray, model: dict) -> np.ndarray:
    """uint8 of what was rendered; light maps by a plain display curve, I / (1 + I) in sRGB."""
    if model["transfer"] in ("log1p", "mu"):
        light = np.maximum(picture, 0)
        picture = (light / (1 + light)) ** (1 / 2.2)
    return runner.round8(np.asarray(picture, np.float32))


def write_picture(path: pathlib.Path, frame: np.ndarray) -> pathlib.Path:
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise errors.bad("--out", str(path), f"expected {', '.join(kinds)}, {', '.join(FILMS)}")
    with files.atomic(path) as file:
        Image.fromarray(frame).save(file, format=kind, quality=95)
    return path


def write_film(path: pathlib.Path, frames: Iterator[np.ndarray], rate: float) -> None:
    """A GIF (Pillow) or an MP4 (H.264, 4:2:0 where the sides are even) that loops the hours."""
    if path.suffix.lower() == ".gif":
        pictures = [Image.fromarray(frame) for frame in frames]
        with files.atomic(path) as file:
            pictures[0].save(
                file, format="GIF", save_all=True, append_images=pictures[1:],
                duration=1000 / rate, loop=0,
            )  # fmt: skip
        return
    buffer, av = io.BytesIO(), video.av()
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=round(rate))
                stream.height, stream.width = frame.shape[:2]
                odd = stream.height % 2 or stream.width % 2
                stream.pix_fmt = "yuv444p" if odd else "yuv420p"
                stream.options = {"crf": "14"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    files.write_bytes(path, buffer.getvalue())


def pixels(config: ConfigDict, workdir: pathlib.Path, hour: float, table: pathlib.Path, out) -> int:
    """Colours of the pixels `y,x` that a table lists, as `y,x,r,g,b`; how many."""
    make, _ = renderer(config, workdir, baked=False)
    try:
        coords = np.loadtxt(table, delimiter=",", ndmin=2, dtype=np.int64)[:, :2]
    except (OSError, ValueError) as error:
        raise errors.bad("--pixels", str(table), f"expected lines of y,x ({error})") from None
    size = weights.load(workdir / "system")[0]["scene"]["frames"].shape[:2]
    if (coords < 0).any() or (coords >= size).any():
        raise errors.bad("--pixels", str(table), f"expected y,x below {size[0]},{size[1]}")
    colours = make.pixels(hour, coords)
    lines = [f"{y},{x}," + ",".join(f"{v:.5f}" for v in c) for (y, x), c in
             zip(coords, colours, strict=True)]  # fmt: skip
    files.write_text(out, "y,x,r,g,b\n" + "\n".join(lines) + "\n")
    return len(coords)


def bake(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Distils the trained view to `basis.npz` and `day.html`; sizes and the loss in dB."""
    make, about = renderer(config, workdir, baked=False)
    model = about["model"]
    lights = tuple(zip(model["lights"][::2], model["lights"][1::2], strict=True))
    hours = bases.moments(np.array(about["hours"]), lights, model["period"])
    hdr = model["transfer"] in ("log1p", "mu")
    frames = np.stack(
        [
            np.clip(make(float(hour)), 0, None if hdr else 1)
            for hour in runner.track(list(hours), len(hours), "bake")
        ]
    )
    rank, period = config.model.rank, model["period"]
    found = bases.fit_bytes(frames, hours, 8 * rank, period)
    bases.save(workdir / "basis.npz", found)
    peak = float(frames.max()) if hdr else 1.0
    error = [np.square(found(float(h)) - f).mean() for h, f in zip(hours, frames, strict=True)]
    psnr = float(10 * np.log10(peak**2 / (np.mean(error) + 1e-12)))
    step = -(-frames.shape[2] // PAGE_WIDTH)
    shown = dataclasses.replace(found, codes=found.codes[:, ::step, ::step])
    if hdr:
        seen = [developed(f, model) / np.float32(255) for f in frames[:, ::step, ::step]]
        shown = bases.fit_bytes(np.stack(seen), hours, 8 * rank, period)
    note = f"{len(found.bits)} pictures times curves, {found.bytes / 1e6:.2f} MB, painted here."
    page.write(workdir / "day.html", shown, "The day, hour by hour", note)
    made = {"rank": len(found.bits), "bits": found.bits.tolist(), "bytes": found.bytes}
    made |= {"hours": len(hours), "psnr": psnr}
    files.write_json(workdir / "basis.json", made)
    return made
