"""One HTML page of a run that needs nothing but itself: pictures inside, no network."""

import base64
import html
import io
import pathlib
from collections.abc import Mapping, Sequence
from importlib import resources

from wxjax.report import cells, tables
from wxjax.report.evidence import PICTURES, Evidence

NAMES = {"input": "Input", "dense": "Dense", "actual": "Restored", "target": "Truth"}
COMPARED = (
    ("input", "actual"), ("dense", "actual"), ("input", "target"), ("actual", "target"),
)  # fmt: skip
WIDTH = 1280  # pixels; wider pictures are embedded at this width, and the caption says so
WORDS = ("Success criteria", "Provenance", "Cost, further")  # tables of text: left, wrapping


def page(
    evidence: Evidence, plots: Mapping[str, tuple[str, bytes, bytes]], wide: Sequence[str] = ()
) -> str:
    """The whole document.

    Args:
      plots: name -> (caption, PNG for light pages, PNG for dark ones).
      wide: names of plots that take the full width.
    """
    sections = [(n, t, b) for n, t, b in _sections(evidence, plots, wide) if b]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    bodies = "".join(f'<section id="{n}"><h2>{t}</h2>{b}</section>' for n, t, b in sections)
    summary = evidence.summary or {}
    title = html.escape(summary.get("model", "wxjax report"))
    source = asset("page.js")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,">'
        f"<style>{asset('page.css')}</style></head><body>"
        f"<header><div class='inside'>{_head(summary)}</div></header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{bodies}</main>'
        f"<footer>{_foot(summary)}</footer><script>{source}</script></body></html>\n"
    )


def _sections(evidence, plots, wide):
    summary = evidence.summary or {}

    def figures(*names):
        shown = [_plot(*plots[name], name in wide) for name in names if name in plots]
        return f'<div class="plots">{"".join(shown)}</div>' if shown else ""

    def many(*shown):
        return "".join(table(t) for t in shown if t is not None)

    quality = routes = statistics = origin = criteria = ""

    def folded(*shown):
        return "".join(
            f"<details><summary>{html.escape(t.caption)}</summary>{table(t, False)}</details>"
            for t in shown
            if t is not None
        )

    if summary:
        criteria = table(tables.criteria(summary), False) if summary["criteria"] else ""
        quality = many(tables.main(summary)) + folded(*tables.per_task(summary))
        quality += figures("severity") + many(*tables.apart(summary))
        first, *rest = (*tables.comparisons(summary), None)
        statistics = many(first) + folded(*rest)
        routes = figures("coverage", "misrouting", "reliability", "confusion", "experts")
        routes += many(tables.routing(summary), tables.experts(summary)) + folded(
            tables.confusion(summary)
        )
        origin = table(tables.provenance(summary), False)
    gaps = "".join(f"<li>{html.escape(line)}</li>" for line in evidence.missing)
    return (
        ("pictures", "Before and after", _samples(evidence.samples)),
        ("criteria", "Success criteria", criteria),
        ("quality", "Quality", quality),
        ("routing", "Routing", routes),
        ("statistics", "Paired statistics", statistics),
        ("cost", "Cost", figures("cost") + many(*tables.cost(evidence.cost))),
        ("training", "Training", figures("training") + many(tables.budget(summary))),
        ("missing", "Not in this report", f'<ul class="gaps">{gaps}</ul>' if gaps else ""),
        ("provenance", "Provenance", origin),
    )


def _head(summary: Mapping) -> str:
    model, backbone = (html.escape(str(summary.get(k) or "")) for k in ("model", "backbone"))
    tiles = []
    macro = summary.get("variants", {}).get("actual", {}).get("macro", {})
    for metric in ("psnr", "ssim", "lpips"):
        cell = cells.estimate(macro.get(metric), tables.METRICS[metric][1])
        if cell.text != cells.NONE:
            tiles.append((f"Macro {tables.METRICS[metric][0]}", cell))
    verdicts = [c["met"] for c in summary.get("criteria", [])]
    if verdicts:
        open_ones = verdicts.count(None)
        note = f"{verdicts.count(False)} short, {open_ones} not measured"
        tiles.append(
            ("Criteria met", cells.Cell(f"{verdicts.count(True)} of {len(verdicts)}", note))
        )
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{cell.text}<small>{cell.interval}</small></dd></div>"
        for name, cell in tiles
    )
    return (
        f'<p class="kicker">{backbone or "wxjax"}</p><h1>{model or "Report of a run"}</h1>'
        f'<p class="lead">{_lead(summary)}</p>'
        + (f'<dl class="tiles">{shown}</dl>' if shown else "")
    )


def _lead(summary: Mapping) -> str:
    """One sentence of findings, made of stored numbers only."""

    def change(pair):
        stats = summary.get("comparisons", {}).get(pair, {}).get("macro", {}).get("psnr")
        if not stats or stats["difference"] is None:
            return ""
        sign = "+" if stats["difference"] >= 0 else ""
        span = cells.estimate(stats, 2, "difference")
        interval = f" (95 % interval {span.interval})" if span.interval else ""
        return f"{sign}{span.text} dB{interval}"

    parts = [
        f"{change(pair)} against {name}"
        for pair, name in (("actual-input", "the input"), ("actual-dense", "Dense-Unified"))
        if change(pair)
    ]
    if not parts:
        return "Haze, rain and snow taken out of photographs by one routed expert each."
    count = summary.get("n")
    return f"Macro PSNR {' and '.join(parts)}, over {count} test images."


def _foot(summary: Mapping) -> str:
    stamp = [f"{k} {summary[k]}" for k in ("version", "commit", "data_hash") if summary.get(k)]
    return html.escape(" · ".join(["Made by wxjax from the files of one run", *stamp]))


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


def _plot(caption: str, light: bytes, dark: bytes, wide: bool) -> str:
    width, height = _size(light)
    return (
        f"<figure{' class=wide' if wide else ''}><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{_uri(dark, "png")}">'
        f'<img src="{_uri(light, "png")}" width="{width}" height="{height}" '
        f'alt="{html.escape(caption)}"></picture>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _samples(samples: Sequence[Mapping]) -> str:
    if not samples:
        return ""
    figures = "".join(_sample(number, sample) for number, sample in enumerate(samples))
    return (
        '<p class="soft">Drag, or focus a picture and use the arrow keys.</p>'
        f'<div class="samples">{figures}</div>'
    )


def _sample(number: int, sample: Mapping) -> str:
    kinds = [kind for kind in PICTURES if kind in sample]
    pairs = [pair for pair in COMPARED if set(pair) <= set(kinds)] or [tuple(kinds[:2])]
    over, under = pairs[0]
    name = html.escape(str(sample.get("id", number)))
    images, size, reduced = [], (1, 1), False
    for kind in kinds:
        data, mime, size, smaller = _picture(sample[kind])
        reduced |= smaller
        mark = "over" if kind == over else "under" if kind == under else ""
        images.append(
            f'<img class="{mark}" data-kind="{kind}" data-name="{NAMES[kind]}" '
            f'alt="{NAMES[kind]} of {name}" src="{_uri(data, mime)}">'
        )
    radios = "".join(
        f'<label><input type="radio" name="pair{number}" value="{a} {b}"'
        f"{' checked' if (a, b) == pairs[0] else ''}><span>{NAMES[a]} | {NAMES[b]}</span></label>"
        for a, b in pairs
    )
    return (
        f'<figure data-compare><div class="frame" style="aspect-ratio:{size[0]}/{size[1]}">'
        f"{''.join(images)}"
        f'<span class="tag left">{NAMES[over]}</span><span class="tag right">{NAMES[under]}</span>'
        '<span class="knob" aria-hidden="true">↔</span>'
        '<input type="range" min="0" max="100" step="any" value="50" autocomplete="off" '
        f'aria-label="Position of the divider on {name}"></div>'
        f'<fieldset class="choice" aria-label="Compare">{radios}</fieldset>'
        f"<figcaption>{_caption(sample, name, reduced)}</figcaption></figure>"
    )


def _caption(sample: Mapping, name: str, reduced: bool) -> str:
    parts = [f"<b>{name}</b>"]
    severity = sample.get("severity")
    strength = "" if severity is None else f" at severity {severity:.2f}"
    parts.append(html.escape(f"{sample.get('degradation', 'unknown')}{strength}"))
    if sample.get("route"):
        sure = "" if sample.get("pmax") is None else f" at p = {sample['pmax']:.2f}"
        parts.append(html.escape(f"answered by {sample['route']}{sure}"))
    before, after = sample.get("psnr_input"), sample.get("psnr_actual")
    if before is not None and after is not None:
        change = f"{cells.number(before)} → {cells.number(after)} dB"
        parts.append(f"<span class='whole'>{change}</span>")
    if reduced:
        parts.append(f"shown {WIDTH} pixels wide")
    return " · ".join(parts)


def _picture(path: pathlib.Path) -> tuple[bytes, str, tuple[int, int], bool]:
    """(bytes, type, (width, height), whether it was made smaller) of a picture to embed."""
    from PIL import Image

    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        if image.width <= WIDTH:
            return data, (image.format or "png").lower(), image.size, False
        height = round(image.height * WIDTH / image.width)
        smaller = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), "jpeg", smaller.size, True


def _size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def asset(name: str, package: str = "wxjax.report") -> str:
    """The text of a file in a package's `assets`."""
    return resources.files(package).joinpath(f"assets/{name}").read_text("utf-8")
