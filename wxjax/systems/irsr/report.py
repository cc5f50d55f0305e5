"""From the files of an infrared run or a comparison to `report.md` and `index.html`."""

import html
import pathlib
from collections.abc import Mapping

from wxjax import files
from wxjax.report import cells, evidence, figures, page
from wxjax.report.cells import Cell, Table, estimate, number

COLUMNS = (("psnr", "PSNR dB ↑", 2), ("ssim", "SSIM ↑", 4), ("lpips", "LPIPS ↓", 4))


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report of a run or a comparison from `frames.json`; runs no network.

    Raises:
      InputError: where `workdir` holds no `frames.json`.
    """
    workdir = pathlib.Path(workdir)
    summary = files.read_json(workdir / "frames.json")
    title = "Infrared super-resolution"
    shown = tables(summary)
    strips = [
        (path, files.read_json(path.with_suffix(".json")))
        for path in sorted((workdir / "samples").glob("*.png"))
    ]
    plots = {}
    training = evidence._training(workdir)
    if training:
        draw, size = (lambda f, d: figures.training(f, d, training)), (2 * figures.SIZE[0], 2.4)
        light, dark = (figures.render(draw, dress, size) for dress in (figures.LIGHT, figures.DARK))
        plots["training"] = ("Training loss.", light, dark)
        files.write_bytes(workdir / "figures" / "training.png", light)
    lines = [f"# {title}\n", *(f"**{line}**\n" for line in summary.get("warnings", []))]
    lines += [cells.markdown(table) for table in shown]
    lines += [f"![{text}](figures/{name}.png)\n\n{text}\n" for name, (text, *_) in plots.items()]
    lines += [
        f"![{about['id']}](samples/{path.name})\n\n{caption(about)}\n" for path, about in strips
    ]
    files.write_text(workdir / "report.md", "\n".join(lines))
    warned = "".join(f"<p><b>{html.escape(w)}</b></p>" for w in summary.get("warnings", []))
    body = warned + "".join(page.table(table) for table in shown)
    body += "".join(f'<div class="plots">{page._plot(*p, True)}</div>' for p in plots.values())
    body += "".join(figure(path, about) for path, about in strips)
    files.write_text(
        workdir / "index.html",
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,">'
        f"<style>{page.asset('page.css')} figure img {{max-width: 100%}}</style></head><body>"
        f"<header><div class='inside'><h1>{title}</h1></div></header>"
        f"<main><section>{body}</section></main></body></html>\n",
    )


def figure(path: pathlib.Path, about: Mapping) -> str:
    source, text = page._uri(path.read_bytes(), "png"), html.escape(caption(about))
    name = html.escape(about["id"])
    return f'<figure><img src="{source}" alt="{name}"><figcaption>{text}</figcaption></figure>'


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
