"""One HTML page of a run that needs nothing but itself: pictures inside, no network."""

import html
import io
import pathlib
from collections.abc import Mapping, Sequence

from wxjax.report import cells, tables
from wxjax.report.document import Plot, Section, asset, document, plot, table, uri
from wxjax.report.evidence import PICTURES, Evidence

NAMES = {"input": "Input", "dense": "Dense", "actual": "Restored", "target": "Truth"}
COMPARED = (
    ("input", "actual"), ("dense", "actual"), ("input", "target"), ("actual", "target"),
)  # fmt: skip
WIDTH = 1280  # pixels; wider pictures are embedded at this width, and the caption says so


def page(evidence: Evidence, plots: Mapping[str, Plot], wide: Sequence[str] = ()) -> str:
    """The whole document.

    Args:
      wide: names of plots that take the full width.
    """
    summary = evidence.summary or {}
    return document(
        summary.get("model", "wxjax report"),
        [Section(*part) for part in _sections(evidence, plots, wide)],
        head=_head(summary),
        links=True,
        foot=_foot(summary),
        script=asset("page.js"),
    )


def _sections(evidence, plots, wide):
    summary = evidence.summary or {}

    def figures(*names):
        shown = [plot(plots[name], name in wide) for name in names if name in plots]
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
            f'alt="{NAMES[kind]} of {name}" src="{uri(data, mime)}">'
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
