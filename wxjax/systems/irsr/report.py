"""From the files of an infrared run or a comparison to `report.md` and `index.html`."""

import pathlib
from collections.abc import Mapping

from wxjax import files
from wxjax.report import cells, document, evidence, figures
from wxjax.report.cells import Cell, Table, estimate, number

COLUMNS = (("psnr", "PSNR dB ↑", 2), ("ssim", "SSIM ↑", 4), ("lpips", "LPIPS ↓", 4))


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report of a run or a comparison from `frames.json`; runs no network.

    Raises:
      InputError: where `workdir` holds no `frames.json`.
    """
    workdir = pathlib.Path(workdir)
    summary = files.read_json(workdir / "frames.json")
    paths = sorted((workdir / "samples").glob("*.png"))
    about = [files.read_json(path.with_suffix(".json")) for path in paths]
    training = evidence.training(workdir)
    draw, size = (lambda f, d: figures.training(f, d, training)), (2 * figures.SIZE[0], 2.4)
    document.write(
        workdir,
        "Infrared super-resolution",
        findings=summary.get("warnings", []),
        tables=tables(summary),
        plots=document.draw(
            workdir, {"training": ("Training loss.", draw, size)} if training else {}
        ),
        pictures=[
            document.Picture(path, caption(entry), entry["id"])
            for path, entry in zip(paths, about, strict=True)
        ],
    )


def tables(summary: Mapping) -> list[Table]:
    """Quality, gains over the first way frame by frame, and cost; kinds apart where several."""
    found = [
        quality("Quality", summary["ways"], f"{summary['frames']} frames; {summary['protocol']}.")
    ]
    found.append(gains(summary["ways"]))
    if len(summary["kinds"]) > 1:
        found += [quality(f"Of kind {kind}", ways, "") for kind, ways in summary["kinds"].items()]
    models = summary.get("models", {})
    rows = [
        (
            Cell(name),
            Cell(f"{models[name]['parameters']:,}".replace(",", " ")),
            Cell(number(ways["ms_per_mp"], 0)),
            Cell(str(models[name].get("degradation") or cells.NONE)),
        )
        for name, ways in summary["ways"].items()
        if name in models
    ]
    if rows:
        header = ("", "Parameters", "ms per large megapixel", "Trained on")
        found.append(Table("Cost", header, rows, "Median over frames, on this machine."))
    return found


def quality(title: str, ways: Mapping, note: str) -> Table:
    header = ("", *(words for _, words, _ in COLUMNS), "Bias, grey levels")
    best = {
        name: (min if name == "lpips" else max)(entry[name]["mean"] for entry in ways.values())
        for name, _, _ in COLUMNS
    }
    rows = [
        (
            Cell(way),
            *(
                estimate(entry[name], digits, tone="best" * (entry[name]["mean"] == best[name]))
                for name, _, digits in COLUMNS
            ),
            Cell(number(entry["bias"]["mean"], 3)),
        )
        for way, entry in ways.items()
    ]
    return Table(title, header, rows, note)


def gains(ways: Mapping) -> Table:
    first = next(iter(ways))
    rows = [
        (Cell(way), *(estimate(entry[f"{name}_gain"], digits) for name, _, digits in COLUMNS))
        for way, entry in ways.items()
        if way != first
    ]
    note = "Paired over frames; 95 % bootstrap intervals. One that holds 0 decides nothing."
    return Table(f"Against {first}", ("", *(words for _, words, _ in COLUMNS)), rows, note)


def caption(about: Mapping) -> str:
    return f"{about['id']}, the busiest window; from left to right: {', '.join(about['parts'])}."
