"""Plots of a re-identification run: curves, costs, gates."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from wxjax.report import figures

WIDE = 2 * figures.SIZE[0]


def available(made: Mapping, history: Mapping[str, Sequence[Mapping]], workdir: pathlib.Path):
    """name -> (caption, draw, size)."""
    found = {
        "cmc": (
            "CMC: share of queries with a true match among the first k.",
            lambda f, d: cmc(f, d, made),
            figures.SIZE,
        ),
        "pareto": (
            "mAP against operations a shot; bars are intervals over identities.",
            lambda f, d: pareto(f, d, made),
            figures.SIZE,
        ),
    }
    if len(made["variants"]) > 2:
        found["variants"] = (
            "mAP of every variant, mean over seeds; the line is the 95 % interval over identities, "
            "dots are seeds.",
            lambda f, d: bars(f, d, made),
            (figures.SIZE[0], max(figures.SIZE[1], 0.8 + 0.3 * len(made["variants"]))),
        )
    if history:
        found["curves"] = (
            "Training of the first variant: loss, validation mAP, a line a seed.",
            lambda f, d: curves(f, d, history),
            (WIDE, 2.8),
        )
        if any("train/usage_0" in row or "usage_0" in row for row in next(iter(history.values()))):
            found["usage"] = (
                "Weight of every expert over training (mean over bands), and the gates' entropy: "
                "1 is uniform. First seed.",
                lambda f, d: usage(f, d, made, next(iter(history.values()))),
                (WIDE, 2.8),
            )
    if (workdir / "gates.npz").exists():
        with np.load(workdir / "gates.npz") as stored:
            gates, pid = stored["gates"], stored["pid"]
        found["weights"] = (
            "Gate weights, a row a test shot (sorted by identity), a column an expert.",
            lambda f, d: weights(f, d, made, gates, pid),
            (WIDE, 3.6),
        )
        first = next(run for run in made["runs"] if "gates" in run)
        if any(head["by"] for head in first["gates"]["heads"].values()):
            found["attributes"] = (
                "Mean gate weight by what is known of the shot.",
                lambda f, d: attributes(f, d, first["gates"]),
                (WIDE, 3.0),
            )
    return found


def cmc(figure, dress, made: Mapping) -> None:
    axes = figure.subplots()
    hues = (dress.accent, *dress.hues, dress.ink)
    for i, name in enumerate(made["variants"]):
        curve = np.mean([r["full"]["cmc"] for r in made["runs"] if r["variant"] == name], 0)[:20]
        axes.plot(range(1, len(curve) + 1), 100 * curve, color=hues[i % len(hues)], label=name,
                  alpha=1 if i < len(hues) else 0.5)  # fmt: skip
    axes.set(xlabel="rank k", ylabel="queries matched, %")
    axes.legend(ncols=1 + (len(made["variants"]) > 6), loc="lower right")


def pareto(figure, dress, made: Mapping) -> None:
    axes = figure.subplots()
    for i, (name, row) in enumerate(made["cost"]["variants"].items()):
        entry = made["variants"][name]["map"]
        x, y = 1e3 * row["flops_g"], 100 * entry["mean"]
        hue = dress.accent if i == 0 else dress.hues[i % 3]
        axes.plot([x, x], [100 * entry["low"], 100 * entry["high"]], color=hue, alpha=0.35, lw=4)
        axes.plot(x, y, "o", color=hue, markersize=5)
        axes.annotate(name, (x, y), (5, 3), textcoords="offset points", fontsize=8)
    axes.margins(x=0.25)
    axes.set(xlabel="MFLOP a shot", ylabel="mAP, %")


def bars(figure, dress, made: Mapping) -> None:
    axes = figure.subplots()
    names = list(made["variants"])
    for y, name in enumerate(names):
        entry = made["variants"][name]["map"]
        hue = dress.accent if y == 0 else dress.hues[1]
        axes.barh(y, 100 * entry["mean"], color=hue, height=0.62, alpha=0.8)
        axes.plot([100 * entry["low"], 100 * entry["high"]], [y, y], color=dress.ink, linewidth=1.4)
        seeds = [100 * r["full"]["map"] for r in made["runs"] if r["variant"] == name]
        axes.plot(seeds, [y] * len(seeds), ".", color=dress.ink, markersize=4)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("mAP, %")


def column(rows: Sequence[Mapping], name: str) -> tuple[list, list]:
    found = [
        (row["step"], row[key])
        for row in rows
        for key in (name, f"train/{name}")
        if row.get(key) is not None
    ]
    return [x for x, _ in found], [y for _, y in found]


def curves(figure, dress, history: Mapping[str, Sequence[Mapping]]) -> None:
    panels = figure.subplots(1, 3)
    for axes, (name, words, factor) in zip(
        panels,
        (("loss", "loss", 1), ("accuracy", "training accuracy, %", 100),
         ("eval/ap", "validation mAP, %", 100)),
        strict=True,
    ):  # fmt: skip
        for i, (seed, rows) in enumerate(history.items()):
            xs, ys = column(rows, name)
            hue = (dress.accent, *dress.hues)[i % 4]
            axes.plot(xs, [factor * y for y in ys], color=hue, label=seed, linewidth=1.4)
        axes.set(xlabel="step")
        axes.set_title(words, loc="left")
    if len(history) > 1:
        panels[-1].legend(loc="lower right")


def usage(figure, dress, made: Mapping, rows: Sequence[Mapping]) -> None:
    experts = next(run for run in made["runs"] if "gates" in run)["gates"]["experts"]
    left, right = figure.subplots(1, 2)
    hues = (dress.accent, *dress.hues, dress.ink)
    for i, name in enumerate(experts):
        xs, ys = column(rows, f"usage_{i}")
        left.plot(xs, ys, color=hues[i % len(hues)], label=name, alpha=1 if i < 5 else 0.5)
    left.axhline(1 / len(experts), color=dress.ink, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    left.set(xlabel="step", ylim=(0, None))
    left.set_title("mean weight", loc="left")
    left.legend(ncols=2 if len(experts) > 4 else 1)
    xs, ys = column(rows, "entropy")
    right.plot(xs, ys, color=dress.accent)
    right.set(xlabel="step", ylim=(0, 1.05))
    right.set_title("gate entropy", loc="left")


def weights(figure, dress, made: Mapping, gates: np.ndarray, pid: np.ndarray) -> None:
    """A panel a gate: shot x expert, sorted by identity."""
    first = next(run for run in made["runs"] if "gates" in run)["gates"]
    heads, experts = list(first["heads"]), first["experts"]
    order = np.argsort(pid, kind="stable")
    panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    for i, (axes, head) in enumerate(zip(panels, heads, strict=True)):
        shown = axes.imshow(gates[order, i], aspect="auto", vmin=0, vmax=max(0.5, gates.max()),
                            interpolation="nearest", cmap="viridis")  # fmt: skip
        axes.set_xticks(range(len(experts)), experts, rotation=45 if len(experts) > 4 else 0)
        axes.set_title(head, loc="left")
        axes.grid(False)
    panels[0].set_ylabel("test shot, by identity")
    panels[0].yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(shown, ax=list(panels), label="weight", fraction=0.04)


def attributes(figure, dress, gates: Mapping) -> None:
    """Bars of the mean weight, a panel a gate and attribute's values side by side."""
    heads = gates["heads"]
    panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    for axes, (head, entry) in zip(panels, heads.items(), strict=True):
        names, rows = [], []
        for attribute, values in entry["by"].items():
            for value, mean in values.items():
                names.append(f"{attribute}: {value}")
                rows.append(mean)
        rows = np.array(rows)
        left = np.zeros(len(rows))
        hues = (dress.accent, *dress.hues, dress.ink)
        for e, expert in enumerate(gates["experts"]):
            axes.barh(range(len(rows)), rows[:, e], left=left, color=hues[e % 5], label=expert)
            left = left + rows[:, e]
        axes.set_yticks(range(len(names)), names)
        axes.set_title(head, loc="left")
        axes.set_xlim(0, 1)
        axes.grid(False)
    panels[0].invert_yaxis()
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right center")
