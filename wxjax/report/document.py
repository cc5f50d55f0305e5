"""What every page of a run is built from: one HTML document that needs nothing but itself."""

import base64
import html
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from wxjax import files
from wxjax.report import cells, figures

WORDS = ("Success criteria", "Provenance", "Cost, further")  # tables of text: left, wrapping
WIDE_STYLE = " figure img {max-width: 100%}"


class Section(NamedTuple):
    """A part of a page: an anchor, a heading (empty for none) and HTML."""

    name: str
    title: str
    body: str


class Plot(NamedTuple):
    """A drawn figure: PNGs for light pages and for dark ones."""

    caption: str
    light: bytes
    dark: bytes


class Picture(NamedTuple):
    """A PNG in `samples/` with its caption, plain text."""

    path: pathlib.Path
    caption: str
    name: str


def document(
    title: str,
    sections: Sequence[Section],
    *,
    head: str = "",
    lead: str = "",
    links: bool = False,
    foot: str = "",
    style: str = "",
    script: str = "",
) -> str:
    """The whole page; sections without a body are left out.

    Args:
      title: plain text.
      head: HTML of the header; the title as a heading and the lead where it is not given.
      lead: one sentence under the title, plain text.
      links: whether a list of the sections stands above them.
      foot, style, script: HTML, CSS and JavaScript.
    """
    shown = [section for section in sections if section.body]
    words = html.escape(title)
    lead = f'<p class="lead">{html.escape(lead)}</p>' if lead else ""
    items = "".join(f'<li><a href="#{part.name}">{part.title}</a></li>' for part in shown)
    bodies = "".join(
        f'<section id="{part.name}">{f"<h2>{part.title}</h2>" if part.title else ""}'
        f"{part.body}</section>"
        for part in shown
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{words}</title><link rel="icon" href="data:,">'
        f"<style>{asset('page.css')}{style}</style></head><body>"
        f"<header><div class='inside'>{head or f'<h1>{words}</h1>{lead}'}</div></header>"
        + (f'<nav aria-label="Sections"><ul>{items}</ul></nav>' if links else "")
        + f"<main>{bodies}</main>"
        + (f"<footer>{foot}</footer>" if foot else "")
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def write(
    workdir: pathlib.Path,
    title: str,
    *,
    tables: Sequence[cells.Table],
    plots: Mapping[str, Plot],
    pictures: Sequence[Picture] = (),
    lead: str = "",
    findings: Sequence[str] = (),
    above: str = "",
    wide: Collection[str] | None = None,
) -> None:
    """Writes `report.md` and `index.html` of a run: findings, tables, plots, pictures.

    Args:
      above: HTML before the pictures.
      wide: names of plots that take the full width; None for all.
    """
    lines = [f"# {title}\n", *([f"{lead}\n"] if lead else [])]
    lines += [*(f"- {line}" for line in findings), *([""] if findings else [])]
    lines += [cells.markdown(shown) for shown in tables]
    lines += [f"![{p.caption}](figures/{name}.png)\n\n{p.caption}\n" for name, p in plots.items()]
    lines += [f"![{p.name}](samples/{p.path.name})\n\n{p.caption}\n" for p in pictures]
    files.write_text(workdir / "report.md", "\n".join(lines))
    said = "".join(f"<li>{html.escape(line)}</li>" for line in findings)
    drawn = "".join(plot(p, wide is None or name in wide) for name, p in plots.items())
    sections = (
        Section("findings", "Findings", f"<ul>{said}</ul>" if said else ""),
        Section("results", "Results", "".join(map(table, tables))),
        Section("figures", "Figures", f'<div class="plots">{drawn}</div>' if drawn else ""),
        Section("pictures", "Pictures", above + "".join(map(picture, pictures))),
    )
    text = document(title, sections, lead=lead, style=WIDE_STYLE)
    files.write_text(workdir / "index.html", text)


def draw(
    workdir: pathlib.Path, available: Mapping[str, tuple[str, Callable[..., Any], tuple]]
) -> dict[str, Plot]:
    """Draws figures given as name -> (caption, draw, size); writes `figures/<name>.png`."""
    plots = {}
    for name, (caption, paint, size) in available.items():
        light = figures.render(paint, figures.LIGHT, size)
        plots[name] = Plot(caption, light, figures.render(paint, figures.DARK, size))
        files.write_bytes(workdir / "figures" / f"{name}.png", light)
    return plots


def samples(workdir: pathlib.Path, caption: Callable[[pathlib.Path], str]) -> list[Picture]:
    """The PNGs of `samples/`, in order of their names."""
    paths = sorted((workdir / "samples").glob("*.png"))
    return [Picture(path, caption(path), path.stem) for path in paths]


def table(shown: cells.Table, headed: bool = True) -> str:
    """One table, its first column the row's heading; `headed`: with its caption above."""
    words = ' class="words"' if shown.caption in WORDS else ""
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in shown.header)
    rows = []
    for first, *rest in shown.rows:
        mark = ' class="actual"' if first.tone == "actual" else ""
        data = "".join(
            f'<td data-label="{html.escape(name)}">{_cell(cell)}</td>'
            for name, cell in zip(shown.header[1:], rest, strict=True)
        )
        rows.append(f'<tr{mark}><th scope="row">{html.escape(first.text)}</th>{data}</tr>')
    caption = html.escape(shown.caption)
    note = f'<p class="note">{html.escape(shown.note)}</p>' if shown.note else ""
    return (
        f'<div class="table{" narrow" if len(shown.header) == 2 else ""}">'
        + (f"<h3>{caption}</h3>" if headed else "")
        + f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f"<table{words}><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"{note}</div>"
    )


def _cell(cell: cells.Cell) -> str:
    text = html.escape(cell.text)
    if cell.tone in ("met", "short", "open"):
        return f'<span class="badge {cell.tone}">{text}</span>'
    text = f'<span class="best">{text}</span>' if cell.tone == "best" else text
    return text + (f"<small>{html.escape(cell.interval)}</small>" if cell.interval else "")


def plot(shown: Plot, wide: bool) -> str:
    """A figure in the colours of the reader's page."""
    width, height = (int.from_bytes(shown.light[i : i + 4], "big") for i in (16, 20))
    caption = html.escape(shown.caption)
    return (
        f"<figure{' class=wide' if wide else ''}><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{uri(shown.dark, "png")}">'
        f'<img src="{uri(shown.light, "png")}" width="{width}" height="{height}" '
        f'alt="{caption}"></picture><figcaption>{caption}</figcaption></figure>'
    )


def picture(shown: Picture) -> str:
    source, name = uri(shown.path.read_bytes(), "png"), html.escape(shown.name)
    return (
        f'<figure class="wide"><img src="{source}" alt="{name}">'
        f"<figcaption>{html.escape(shown.caption)}</figcaption></figure>"
    )


def uri(data: bytes, kind: str) -> str:
    """A picture inside the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def asset(name: str, package: str = "wxjax.report") -> str:
    """The text of a file in a package's `assets`."""
    return resources.files(package).joinpath(f"assets/{name}").read_text("utf-8")
