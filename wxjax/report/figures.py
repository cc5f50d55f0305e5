"""The plots of a report: JSON in, PNG bytes out, in a light and a dark dress."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wxjax.task import DEGRADATIONS

SIZE = (5.0, 3.4)  # inches; two stand side by side on a page, one fills a phone
DPI = 200


class Dress(NamedTuple):
    """Colours of one theme: paper, ink, quiet lines, and one hue a task and a variant."""

    paper: str
    ink: str
    quiet: str
    accent: str
    hues: Sequence[str]


LIGHT = Dress("#ffffff", "#1c2733", "#c9d1d8", "#0f6e84", ("#b7741a", "#2c6fbb", "#7b5aa6"))
DARK = Dress("#182028", "#dde4ea", "#46525d", "#5cc0d4", ("#e0a656", "#76aeea", "#b79ae0"))

Draw = Callable[[Any, Dress], None]


def render(draw: Draw, dress: Dress = LIGHT, size: tuple[float, float] = SIZE) -> bytes:
    """PNG bytes of what `draw(figure, dress)` puts on a fresh figure; equal input, equal bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {
        "font.family": "DejaVu Sans", "font.size": 9.5, "axes.labelsize": 9.5,
        "axes.titlesize": 10, "legend.fontsize": 8.5, "legend.frameon": False,
        "figure.facecolor": dress.paper, "axes.facecolor": dress.paper,
        "savefig.facecolor": dress.paper, "text.color": dress.ink,
        "axes.labelcolor": dress.ink, "xtick.color": dress.ink, "ytick.color": dress.ink,
        "axes.edgecolor": dress.quiet, "grid.color": dress.quiet, "grid.alpha": 0.5,
        "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8,
        "xtick.major.size": 0, "ytick.major.size": 0,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        FigureCanvasAgg(figure)
        draw(figure, dress)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def available(evidence) -> dict[str, tuple[str, Draw, tuple[float, float]]]:
    """name -> (caption, draw, size) of every figure the evidence has numbers for."""
    curves = (evidence.summary or {}).get("curves", {})
    plots: dict[str, tuple[str, Draw, tuple[float, float]]] = {}
    if curves.get("severity"):
        count = len({b["degradation"] for b in curves["severity"]})
        plots["severity"] = (
            "Gain over the input by severity: three bins of equal count a task, mean and 95 % "
            "interval.", lambda f, d: severity(f, d, curves["severity"]),
            (SIZE[0] if count == 1 else 2 * SIZE[0], 3.0),
        )  # fmt: skip
    if curves.get("coverage"):
        plots["coverage"] = (
            "Coverage and accuracy of the router as the abstention threshold rises, and the Macro "
            "PSNR that each threshold would have given.",
            lambda f, d: coverage(f, d, curves["coverage"]), SIZE,
        )  # fmt: skip
    if curves.get("misrouting"):
        plots["misrouting"] = (
            "Macro PSNR lost when a share of the images is forced to a wrong expert; bands hold "
            "95 % of the seeded draws.",
            lambda f, d: misrouting(f, d, curves["misrouting"]), SIZE,
        )  # fmt: skip
    if curves.get("reliability"):
        plots["reliability"] = (
            "Reliability: how often the first choice is right at a stated confidence. The area "
            "of a dot is the share of the images.",
            lambda f, d: reliability(f, d, curves["reliability"]), SIZE,
        )  # fmt: skip
    if curves.get("confusion"):
        plots["confusion"] = (
            "Where images of each degradation went.",
            lambda f, d: confusion(f, d, curves["confusion"]), SIZE,
        )  # fmt: skip
    found = (evidence.summary or {}).get("experts")
    if found:
        plots["experts"] = (
            "Mean weight of every expert by weather, a panel a block of the network.",
            lambda f, d: experts(f, d, found), (2 * SIZE[0], 3.0),
        )  # fmt: skip
    if evidence.cost and _latencies(evidence.cost):
        count = len(_latencies(evidence.cost))
        plots["cost"] = (
            f"Measured cost on {evidence.cost.get('device', 'an unnamed device')}.",
            lambda f, d: cost(f, d, evidence.cost), (SIZE[0], max(SIZE[1], 0.8 + 0.32 * count)),
        )  # fmt: skip
    if evidence.training:
        rows = -(-len(evidence.training) // 2)
        plots["training"] = (
            "Training loss a stage (log scale; losses of different stages are different sums).",
            lambda f, d: training(f, d, evidence.training), (2 * SIZE[0], 1.9 * rows + 0.3),
        )  # fmt: skip
    return plots


def severity(figure, dress: Dress, bins: Sequence[Mapping]) -> None:
    """A panel a task: gain over the input, with interval, against the bin's mean severity."""
    names = list(dict.fromkeys(b["degradation"] for b in bins))
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for variant, label, marks, hue in (
            ("dense", "Dense-Unified", "s:", dress.ink),
            ("actual", "MoE-I-Actual", "o-", _hue(dress, name)),
        ):
            gains = [(b["severity_mean"], b["gain"].get(variant)) for b in bins
                     if b["degradation"] == name]  # fmt: skip
            gains = [(x, g) for x, g in gains if g]
            xs, means = [x for x, _ in gains], [g["mean"] for _, g in gains]
            axes.plot(xs, means, marks, color=hue, label=label, markersize=5)
            if variant == "actual":
                low, high = ([g[key] for _, g in gains] for key in ("low", "high"))
                axes.vlines(xs, low, high, color=hue, alpha=0.35, linewidth=4)
        axes.axhline(0, color=dress.quiet, linewidth=1)
        axes.set_title(name.capitalize(), loc="left")
        axes.set_xlabel("severity")
        axes.legend(loc="lower right")
    panels[0].set_ylabel("PSNR gain over input, dB")


def coverage(figure, dress: Dress, rows: Sequence[Mapping]) -> None:
    """Accuracy among the covered images, and Macro PSNR below it, against coverage."""
    has_psnr = any(r.get("macro_psnr") is not None for r in rows)
    axes, *below = figure.subplots(1 + has_psnr, 1, sharex=True, squeeze=False)[:, 0]
    for key, marks, hue, label in (
        ("accuracy", ".-", dress.accent, "on degradation label"),
        ("accuracy_oracle", ".--", dress.hues[0], "on Oracle label"),
    ):
        points = [(100 * r["coverage"], 100 * r[key]) for r in rows if r.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marks, color=hue, label=label, markersize=5)
    axes.set_ylabel("accuracy, %")
    axes.legend()
    last = axes
    for last in below:
        points = [
            (100 * r["coverage"], r["macro_psnr"]) for r in rows if r["macro_psnr"] is not None
        ]
        last.plot(*zip(*points, strict=True), ".-", color=dress.hues[1], markersize=5)
        last.set_ylabel("Macro, dB")
    last.set_xlabel("coverage (images not abstained), %")


def misrouting(figure, dress: Dress, rows: Sequence[Mapping]) -> None:
    """Drop of Macro PSNR against the forced rate, with and without abstention."""
    axes = figure.subplots()
    for abstention, hue, label in (
        (False, dress.hues[0], "without abstention"),
        (True, dress.accent, "with abstention"),
    ):
        chosen = [r for r in rows if r["abstention"] is abstention]
        rates = [100 * r["rate"] for r in chosen]
        low, high = ([r[key] for r in chosen] for key in ("drop_low", "drop_high"))
        axes.fill_between(rates, low, high, color=hue, alpha=0.16, linewidth=0)
        axes.plot(rates, [r["drop"] for r in chosen], "o-", color=hue, label=label, markersize=5)
        axes.set_xticks(rates)
    axes.axhline(0.2, color=dress.ink, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.annotate("limit at 10 %", (0, 0.2), (2, 3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="forced wrong routes, %", ylabel="Macro PSNR lost, dB")
    axes.legend()


def reliability(figure, dress: Dress, bins: Sequence[Mapping]) -> None:
    """Accuracy against confidence a bin; the diagonal is perfect calibration."""
    axes = figure.subplots()
    filled = [b for b in bins if b["count"]]
    total = sum(b["count"] for b in filled)
    axes.plot([0, 1], [0, 1], color=dress.ink, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    xs, ys = [b["confidence"] for b in filled], [b["accuracy"] for b in filled]
    axes.plot(xs, ys, color=dress.accent, linewidth=1.2)
    axes.scatter(xs, ys, s=[14 + 300 * b["count"] / total for b in filled], color=dress.accent,
                 alpha=0.75, linewidth=0, clip_on=False)  # fmt: skip
    start = min(1 / 3, *xs, *ys) if filled else 0
    axes.set(xlabel="confidence (max p)", ylabel="accuracy", xlim=(start, 1), ylim=(start, 1.02))


def confusion(figure, dress: Dress, data: Mapping) -> None:
    """Share of each degradation's images a route, with counts."""
    from matplotlib.colors import LinearSegmentedColormap

    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("shade", [dress.paper, dress.accent])
    shares = [[c / max(1, sum(row)) for c in row] for row in data["counts"]]
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(data["counts"]):
        for x, count in enumerate(row):
            ink = dress.paper if shares[y][x] > 0.5 else dress.ink
            axes.text(x, y, str(count), ha="center", va="center", color=ink, fontsize=11)
    axes.set_xticks(range(len(data["routes"])), data["routes"])
    axes.set_yticks(range(len(data["degradations"])), data["degradations"])
    axes.set_xlabel("answered by")
    axes.grid(False)
    axes.spines[:].set_visible(False)


def experts(figure, dress: Dress, found: Mapping) -> None:
    """Bars of each expert's mean weight, the weathers side by side, a panel a block."""
    blocks = len(next(iter(found.values()))["usage"])
    panels = figure.subplots(1, blocks, sharey=True, squeeze=False)[0]
    width = 0.8 / len(found)
    for block, axes in enumerate(panels):
        for i, (kind, entry) in enumerate(found.items()):
            usage = entry["usage"][block]
            places = [e + width * (i - (len(found) - 1) / 2) for e in range(len(usage))]
            axes.bar(places, usage, 0.92 * width, color=_hue(dress, kind), label=kind)
        axes.axhline(1 / len(usage), color=dress.ink, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
        axes.set_title(f"block {block}", loc="left")
        axes.set_xlabel("expert")
        axes.set_xticks(range(len(usage)))
    panels[0].set_ylabel("mean weight")
    panels[-1].legend()


def cost(figure, dress: Dress, measured: Mapping) -> None:
    """Median latency of every case, with its interval."""
    cases = _latencies(measured)
    axes = figure.subplots()
    for y, (_, latency) in enumerate(cases):
        axes.barh(y, latency["median"], color=dress.accent, height=0.62, alpha=0.85)
        if latency.get("low") is not None:
            axes.plot([latency["low"], latency["high"]], [y, y], color=dress.ink, linewidth=1.4)
    axes.set_yticks(range(len(cases)), [name for name, _ in cases])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("latency, ms (median and interval)")


def training(figure, dress: Dress, stages: Mapping[str, Sequence[Mapping]]) -> None:
    """Small multiples: one panel a stage, raw values faint, running median on top."""
    rows = -(-len(stages) // 2)
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, (name, points) in zip(panels, stages.items(), strict=False):
        steps, values = zip(*((p["step"], p["loss"]) for p in points), strict=True)
        axes.plot(steps, values, color=dress.accent, alpha=0.3, linewidth=1)
        axes.plot(steps, _running_median(values), color=dress.accent)
        if min(values) > 0:
            axes.set_yscale("log", subs=(1, 2, 5))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
            axes.tick_params(axis="y", which="minor", length=0)
        axes.set_title(name, loc="left")
        axes.set_xlabel("step" if axes in panels[-2:] else "")
    for axes in panels[len(stages) :]:
        axes.set_visible(False)


def _running_median(values: Sequence[float]) -> list[float]:
    half = max(1, len(values) // 40)
    windows = (sorted(values[max(0, i - half) : i + half + 1]) for i in range(len(values)))
    return [window[len(window) // 2] for window in windows]


def _latencies(measured: Mapping) -> list[tuple[str, Mapping]]:
    cases = []
    for case in measured.get("cases") or []:
        latency = case.get("latency_ms")
        if isinstance(latency, Mapping) and latency.get("median") is not None:
            size = "×".join(map(str, case.get("size", [])))
            cases.append((f"{case.get('name', 'case')} {size}".strip(), latency))
    return cases


def _hue(dress: Dress, name: str) -> str:
    known = DEGRADATIONS.index(name) if name in DEGRADATIONS else None
    return dress.accent if known is None else dress.hues[known]
