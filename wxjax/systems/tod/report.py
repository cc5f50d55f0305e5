"""From the files of a time-of-day run to `report.md`, `figures/*.png` and `index.html`."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from wxjax import files
from wxjax.report import cells, document, evidence, figures
from wxjax.report.cells import Cell, Table, number
from wxjax.systems.tod import sun

NAMES = {
    "baseline": "Baseline image",
    "previous": "Previous frame",
    "linear": "Linear interpolation",
    "pchip": "Monotone cubic (PCHIP)",
    "svd8": "SVD, rank 8",
    "ridge": "Ridge regression",
    "baked": "This model, baked",
    "model": "This model",
}
PARTS = {
    "hidden": "Hours that were hidden (prediction)",
    "given": "Hours that were given (reconstruction)",
}


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report from what the workdir holds; runs no network.

    Raises:
      InputError: where `workdir` holds no `daytime.json`.
    """
    workdir = pathlib.Path(workdir)
    summary = files.read_json(workdir / "daytime.json")
    rows = files.read_jsonl(workdir / "per_hour.jsonl")
    shown = [quality(summary, part) for part in PARTS if has(summary, part)]
    shown += [*([bytes_table(summary)] if summary.get("rates") else []), about(summary)]
    slider = '<p><a href="day.html">The day, hour by hour</a></p>'
    document.write(
        workdir,
        summary["model"],
        lead=lead(summary),
        tables=shown,
        plots=document.draw(workdir, available(summary, rows, workdir)),
        pictures=document.samples(workdir, said),
        above=slider if (workdir / "day.html").exists() else "",
    )


def has(summary: Mapping, part: str) -> bool:
    return bool(summary["variants"]["model"].get(part))


def lead(summary: Mapping) -> str:
    """One sentence of findings, made of stored numbers only."""
    part = "hidden" if has(summary, "hidden") else "given"
    ours = summary["variants"]["model"][part]
    span = "day" if "day" in ours else "all"
    other = {
        name: entry[part][span]["psnr"]
        for name, entry in summary["variants"].items()
        if name not in ("model", "baked") and entry.get(part)
    }
    best = max(other, key=other.get)
    text = (
        f"PSNR {number(ours[span]['psnr'])} dB over {ours['days' if span == 'day' else 'hours']} "
        f"{'daylight ' if span == 'day' else ''}hours that were {part}; "
    )
    if part == "given":
        return text + "given hours are reconstruction, not prediction."
    return text + f"the best opponent, {NAMES[best]}, has {number(other[best])} dB."


def quality(summary: Mapping, part: str) -> Table:
    """Every variant at one kind of hours."""
    header = ("", "PSNR day ↑", "SSIM day ↑", "LPIPS day ↓", "PSNR all", "pooled", "worst hour")
    rows = []
    for name, entry in summary["variants"].items():
        found = entry.get(part)
        if not found:
            continue
        span = found.get("day", found["all"])
        rows.append((
            Cell(NAMES.get(name, name), tone="actual" if name == "model" else ""),
            Cell(number(span["psnr"])), Cell(number(span["ssim"], 4)),
            Cell(number(span["lpips"], 4)), Cell(number(found["all"]["psnr"])),
            Cell(number(found["pooled"])),
            Cell(f"{number(found['worst']['psnr'])} at {found['worst']['hour']:g} h"),
        ))  # fmt: skip
    entry = summary["variants"]["model"][part]
    note = (
        f"{entry['hours']} hours, {entry['days']} of them day. PSNR in dB, an hour counts 60 at "
        "most; pooled: of the mean squared error over all hours."
    )
    return Table(PARTS[part], header, rows, note)


def bytes_table(summary: Mapping) -> Table:
    """Quality per byte at given hours."""
    header = ("", "kB", "of the raw bytes", "bits a pixel", "PSNR ↑", "SSIM ↑", "LPIPS ↓")
    rows = [
        (
            Cell(f"{row['method']}, {row['setting']}"),
            Cell(number(row["bytes"] / 1e3, 0)),
            Cell(f"{number(100 * row['share'], 1)} %"),
            Cell(number(row["bits"])),
            Cell(number(row["psnr"])),
            Cell(number(row["ssim"], 4)),
            Cell(number(row["lpips"], 4)),
        )
        for row in summary["rates"]
    ]
    note = (
        "Mean over all given hours. svd int8, r: what bake stores, any pixel of any hour by "
        "itself; the codecs store frames at a quality and must decode a whole one; this model: "
        "parameters as stored and the frames it looks at, uncompressed."
    )
    return Table("Bytes at given hours", header, rows, note)


def about(summary: Mapping) -> Table:
    """Where the sun was found, and sizes."""
    rows = [
        (Cell("Data"), Cell(f"{summary['data']}, {summary['size'][1]}x{summary['size'][0]}")),
        (Cell("Protocol"), Cell(summary["protocol"])),
        (Cell("Parameters"), Cell(cells.plain(summary["parameters"]))),
        (Cell("Bytes with the frames it looks at"), Cell(cells.plain(summary["bytes"]))),
    ]
    if summary.get("quant", "none") != "none":
        rows.append((Cell("Grids stored as"), Cell(summary["quant"])))
    if summary.get("baked"):
        baked = summary["baked"]
        rows.append(
            (Cell(f"Bytes baked at rank {baked['rank']}"), Cell(cells.plain(baked["bytes"])))
        )
    if summary.get("place"):
        place = summary["place"]
        rows.append((
            Cell("Sun's path, fitted"),
            Cell(f"latitude {place['latitude']:.1f}, declination {place['declination']:.1f}, "
                 f"shift {place['shift']:.2f} h"),
        ))  # fmt: skip
    rows += [(Cell(name), Cell(str(summary.get(name)))) for name in ("seed", "commit", "version")]
    return Table("Provenance", ("", ""), rows)


def available(summary: Mapping, rows: Sequence[Mapping], workdir: pathlib.Path) -> dict:
    """name -> (caption, draw, size)."""
    wide = (2 * figures.SIZE[0], 3.2)
    training, terms = evidence.training(workdir), loss_terms(workdir)
    plots = {}
    for part, words in PARTS.items():
        chosen = [row for row in rows if row["part"] == part]
        if chosen:
            plots[part] = (
                f"{words}: PSNR, SSIM and LPIPS of every hour.",
                lambda f, d, chosen=chosen: curves(f, d, chosen),
                wide,
            )
    if summary.get("rates"):
        plots["rates"] = (
            "Quality per byte at given hours.", lambda f, d: rates(f, d, summary["rates"]), wide
        )  # fmt: skip
    if (workdir / "courses.json").exists():
        made = files.read_json(workdir / "courses.json")
        plots["courses"] = (
            "Six pixels through the day, green channel: this model (line), frames given (dots) "
            "and hidden (circles).",
            lambda f, d: courses(f, d, made), (wide[0], 4.4),
        )  # fmt: skip
    if summary.get("configured"):
        plots["sun"] = (
            "Height of the sun: as configured, and as fitted to the frames.",
            lambda f, d: sun_path(f, d, summary), (wide[0], 2.4),
        )  # fmt: skip
    if terms:
        plots["terms"] = (
            "Terms of the training loss, before their weights.",
            lambda f, d: draw_terms(f, d, terms), (wide[0], 2.4),
        )  # fmt: skip
    if training:
        plots["training"] = (
            "Training loss.", lambda f, d: figures.training(f, d, training), (wide[0], 2.4)
        )  # fmt: skip
    return plots


def curves(figure, dress, rows: Sequence[Mapping]) -> None:
    """A panel a metric, a line a variant, against the hour."""
    styles = {"model": ("-", dress.accent), "linear": (":", dress.hues[0]),
              "pchip": ("--", dress.hues[1]), "ridge": ("-.", dress.hues[2])}  # fmt: skip
    panels = figure.subplots(1, 3)
    for axes, metric in zip(panels, ("psnr", "ssim", "lpips"), strict=True):
        for name, (line, hue) in styles.items():
            points = [
                (row["hour"], min(60, row["metrics"][metric] or 60) if metric == "psnr"
                 else row["metrics"][metric])
                for row in rows if row["variant"] == name
            ]  # fmt: skip
            axes.plot(*zip(*sorted(points), strict=True), line, color=hue, label=NAMES[name])
        axes.set(xlabel="hour", ylabel={"psnr": "PSNR, dB"}.get(metric, metric.upper()))
    panels[0].legend(fontsize=7)


def rates(figure, dress, rows: Sequence[Mapping]) -> None:
    """PSNR and LPIPS against bits a pixel and frame, a line a method."""
    hues = (dress.accent, *dress.hues)
    panels = figure.subplots(1, 2)
    for axes, metric in zip(panels, ("psnr", "lpips"), strict=True):
        for i, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
            points = [(row["bits"], row[metric]) for row in rows if row["method"] == name]
            look = ("o-", "s--", "^:")[i // len(hues)]  # more methods than hues
            hue = hues[i % len(hues)]
            axes.plot(*zip(*points, strict=True), look, color=hue, label=name, markersize=4)
        axes.set_xlabel("bits a pixel and frame")
        axes.set_xscale("log", subs=(2, 5))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_ylabel({"psnr": "PSNR, dB"}.get(metric, metric.upper()))
    panels[0].legend()


TERMS = {"mse": "MSE", "ssim_loss": "1 - SSIM", "lpips": "LPIPS", "static": "size of change"}


def loss_terms(workdir: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
    """name -> (step, value) of each term that the field's training logged."""
    path = workdir / "field" / "metrics.jsonl"
    if not path.exists():
        return {}
    rows = files.read_jsonl(path)
    found = {
        words: [(row["step"], row[name]) for row in rows if row.get(name)]
        for name, words in TERMS.items()
    }
    return {words: points for words, points in found.items() if points}


def draw_terms(figure, dress, terms: Mapping[str, Sequence]) -> None:
    """A panel a term, against the step."""
    panels = figure.subplots(1, len(terms), squeeze=False)[0]
    for axes, (name, points) in zip(panels, terms.items(), strict=True):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=dress.accent)
        axes.set_title(name, loc="left")
        axes.set(xlabel="step")
        if max(values) > 3 * min(values):
            axes.set_yscale("log", subs=(1, 2, 5))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")


def courses(figure, dress, made: Mapping) -> None:
    """A panel a pixel, as the six lie in the picture."""
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, pixel in zip(panels, made["pixels"], strict=True):
        axes.plot(made["hours"], pixel["made"], color=dress.accent, linewidth=1.2)
        for name, face in (("given", dress.accent), ("hidden", "none")):
            if pixel[name]:
                axes.plot(
                    *zip(*pixel[name], strict=True), "o", markersize=4,
                    markerfacecolor=face, markeredgecolor=dress.accent,
                )  # fmt: skip
        axes.set_title(f"row {pixel['y']}, column {pixel['x']}", loc="left")
    for axes in panels[3:]:
        axes.set_xlabel("hour" if max(made["hours"]) < 24 else "day")
    panels[0].set_ylabel("code of 255")
    panels[3].set_ylabel("code of 255")


def sun_path(figure, dress, summary: Mapping) -> None:
    """Altitude against the hour."""
    axes = figure.subplots()
    hours = np.arange(97) / 4
    for words, place, line in (
        ("configured", summary["configured"], ":"),
        ("fitted", summary["place"], "-"),
    ):
        where = (place["latitude"], place["declination"], place["shift"])
        axes.plot(hours, sun.position(hours, *where)[1], line, color=dress.accent, label=words)
    axes.axhline(0, color=dress.hues[0], linewidth=0.8)
    axes.set(xlabel="hour", ylabel="degrees", xlim=(0, 24))
    axes.legend()


def said(path: pathlib.Path) -> str:
    part, hour = path.stem.split("-", 1)
    words = "hidden" if part == "hidden" else "given"
    return f"{float(hour):g} h, {words}: truth, linear interpolation, this model, its error x5."
