"""Plots of a re-identification run: curves, gates, ranked lists, windows over pictures."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wxjax.report import figures

GREEN, RED, BLUE = (46, 160, 67), (207, 34, 46), (9, 105, 218)
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


def framed(image: np.ndarray, hue: Sequence[int], width: int = 3) -> np.ndarray:
    """Bands of a shot `[m h w 3]` below each other, in a coloured frame."""
    tall = np.concatenate(list(image), 0)
    out = np.full((tall.shape[0] + 2 * width, tall.shape[1] + 2 * width, 3), hue, np.uint8)
    out[width:-width, width:-width] = tall
    return out


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sheet(query: np.ndarray, results: Sequence[tuple[np.ndarray, Sequence[int]]]) -> np.ndarray:
    """A query in blue, and results in their frames, in one row."""
    parts = [framed(query, BLUE)]
    gap = np.full((parts[0].shape[0], 10, 3), 255, np.uint8)
    parts.append(gap)
    for image, hue in results:
        parts += [framed(image, hue), gap[:, :3]]
    return np.concatenate(parts, 1)


def contact_sheet(
    query: np.ndarray,
    results: Sequence[tuple[np.ndarray, Sequence[int]]],
    name: str,
    labels: Sequence[str],
    columns: int = 10,
) -> bytes:
    """A query in blue and what was found, best first, rows of `columns`, with captions."""
    from PIL import Image, ImageDraw

    first = framed(query, BLUE)
    tall, wide = first.shape[:2]
    rows = -(-len(results) // columns)
    step, line = wide + 8, tall + 22
    sheet = Image.new(
        "RGB", (step * (1 + min(columns, len(results))) + 16, line * rows + 6), "white"
    )
    pen = ImageDraw.Draw(sheet)
    sheet.paste(Image.fromarray(first), (4, 18))
    pen.text((4, 4), name[: wide // 6], fill=BLUE)
    for i, ((image, hue), label) in enumerate(zip(results, labels, strict=True)):
        x, y = 16 + step * (1 + i % columns), line * (i // columns)
        sheet.paste(Image.fromarray(framed(image, hue)), (x, y + 18))
        pen.text((x, y + 4), f"{i + 1}: {label}", fill=(60, 60, 60))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def ranked_lists(source: Any, known: Any, more: Mapping[str, Any], count: int = 4) -> bytes:
    """The worst, two middling and the best valid query, with their first gallery shots."""
    ranking, q, g = more["ranking"], more["query"], more["gallery"]
    valid = np.flatnonzero(ranking.valid)
    order = valid[np.argsort(ranking.ap[valid], kind="stable")]
    picks = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]
    rows = []
    for i in picks:
        shot = q[i]
        results = []
        for at in ranking.order[i]:
            if at < 0:
                blank = np.full_like(source[int(shot)]["image"], 255)
                results.append((blank, (255, 255, 255)))
                continue
            right = known.pid[g[at]] == known.pid[shot]
            results.append((source[int(g[at])]["image"], GREEN if right else RED))
        rows.append(sheet(source[int(shot)]["image"], results))
        rows.append(np.full((8, rows[-1].shape[1], 3), 255, np.uint8))
    return png(np.concatenate(rows[:-1], 0))


def windows(source: Any, outputs: Mapping[str, Any], count: int = 3) -> bytes:
    """Shares of windows spread over the picture: bands down, scales across, per shot."""
    shares = outputs["shares"]
    picks = np.unique(np.linspace(0, len(source) - 1, count).astype(int))
    blocks = []
    for shot in picks:
        image = source[int(shot)]["image"]
        columns = [np.concatenate(list(image), 0)]
        for name in sorted(shares, key=lambda name: int(name.removeprefix("scale"))):
            heat = [
                overlay(band, shares[name][shot, m], int(name.removeprefix("scale")))
                for m, band in enumerate(image)
            ]
            columns.append(np.concatenate(heat, 0))
        gap = np.full((columns[0].shape[0], 4, 3), 255, np.uint8)
        blocks += [part for column in columns for part in (column, gap)]
        blocks.append(np.full((columns[0].shape[0], 14, 3), 255, np.uint8))
    return png(np.concatenate(blocks[:-1], 1))


def overlay(band: np.ndarray, share: np.ndarray, scale: int, grid=(16, 8)) -> np.ndarray:
    """A picture with the windows' shares as warmth, and the heaviest window framed."""
    import cv2

    h, w = band.shape[:2]
    stride = h // grid[0]
    grid = (h // stride, w // stride)
    size = [min(scale, side) for side in grid]
    starts = [
        list(range(0, side - s + 1, max(1, s // 2))) for side, s in zip(grid, size, strict=True)
    ]
    places = [(y, x) for y in starts[0] for x in starts[1]]
    if len(places) != len(share):
        return band
    if len(places) == 1:  # one window has no choice to show
        return band
    heat, cover = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
    for (y, x), value in zip(places, share, strict=True):
        heat[y : y + size[0], x : x + size[1]] += value
        cover[y : y + size[0], x : x + size[1]] += 1
    heat = heat / np.maximum(cover, 1)
    heat = heat / max(heat.max(), 1e-9)
    heat = cv2.resize(heat, (w, h), interpolation=cv2.INTER_LINEAR)
    warm = cv2.applyColorMap(np.round(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    out = np.round(0.5 * band + 0.5 * warm).astype(np.uint8)
    y, x = places[int(np.argmax(share))]
    corner = (x * stride, y * stride)
    far = ((x + size[1]) * stride - 1, (y + size[0]) * stride - 1)
    out = np.ascontiguousarray(out)
    cv2.rectangle(out, corner, far, (255, 255, 255), 1)
    return out
