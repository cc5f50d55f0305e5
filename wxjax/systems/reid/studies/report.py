"""Tables and plots of the small studies, where their JSON stands in the workdir."""

import pathlib
from collections.abc import Mapping
from typing import Any

from wxjax import files
from wxjax.report import figures
from wxjax.report.cells import Cell, Table, number, plain

NAMES = ("shrink", "federate", "search")


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """Results by study, of those that were run."""
    paths = {name: workdir / f"{name}.json" for name in NAMES}
    return {name: files.read_json(path) for name, path in paths.items() if path.exists()}


def tables(found: Mapping[str, Any]) -> list[Table]:
    makers = {"shrink": shrink, "federate": federate, "search": search}
    return [makers[name](made) for name, made in found.items()]


def available(found: Mapping[str, Any]) -> dict:
    """name -> (caption, draw, size)."""
    plots = {}
    if "shrink" in found:
        plots["shrink"] = (
            "mAP against the experts' parameters left, pruned and fine-tuned.",
            lambda f, d: pruning(f, d, found["shrink"]),
            figures.SIZE,
        )
    if "search" in found:
        plots["search"] = (
            "Candidates of the search: validation mAP against operations of the block; the line "
            "is the front.",
            lambda f, d: front(f, d, found["search"]),
            figures.SIZE,
        )
    return plots


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def shrink(made: Mapping) -> Table:
    header = ("", "mAP ↑", "Rank-1 ↑", "expert parameters", "ms a shot")
    rows = []
    for name, row in made["rows"].items():
        sizes = row.get("bytes")
        held = plain(row.get("expert_parameters"))
        if sizes:
            held = f"{sizes['int8'] / sizes['float32']:.2f} of the bytes"
        ms = number(row.get("ms_a_shot"), 3)
        cells = (_percent(row["map"]), _percent(row["rank1"]), held, ms)
        rows.append((Cell(name), *map(Cell, cells)))
    note = f"On {made['device']}; batches of 32, programs run in turn."
    return Table("Smaller networks", header, rows, note)


def federate(made: Mapping) -> Table:
    header = ("", "mAP ↑", "rounds to 95 % of central", "MB a round")
    rows = [
        (
            Cell(f"{name}: {row['what']}"),
            Cell(_percent(row["map"])),
            Cell(plain(row.get("rounds_to_95"))),
            Cell(number(row["bytes_a_round"] / 1e6, 2)),
        )
        for name, row in made["methods"].items()
    ]
    shots = ", ".join(map(str, made["clients"]))
    note = f"Mean over clients of {shots} shots. Bytes: what all clients send and receive."
    return Table("Federated averaging", header, rows, note)


def search(made: Mapping) -> Table:
    header = ("", "mAP (val) ↑", "MFLOP", "scales", "width", "layers", "kind", "gate", "kept",
              "pool")  # fmt: skip
    named = [("best of the search", made["best"])]
    named += [("best of random search", made["random"])] if made["random"] else []
    named += [(f"front {i + 1}", row) for i, row in enumerate(made["pareto"])]
    rows = [
        (
            Cell(name),
            Cell(_percent(row["map"])),
            Cell(number(row["flops"] / 1e6, 3)),
            Cell("+".join(map(str, row["scales"]))),
            *(Cell(plain(row[key])) for key in ("ratio", "layers", "kind", "depth")),
            Cell(plain(row["kept"] or "all")),
            Cell(row["pool"]),
        )
        for name, row in named
    ]
    note = f"{made['steps']} training steps in all for the search, and as many for random search."
    return Table("Search over fusion blocks", header, rows, note)


def pruning(figure, dress, made: Mapping) -> None:
    axes = figure.subplots()
    for tuned, hue, label in (
        (0, dress.hues[0], "pruned"),
        (1, dress.accent, "and fine-tuned"),
    ):
        rows = [
            row
            for name, row in made["rows"].items()
            if name.startswith("pruned")
            and (row["share"] == 1 or bool(row["fine_tuned"]) == bool(tuned))
        ]
        rows = sorted(rows, key=lambda row: row["share"])
        xs, ys = [100 * r["share"] for r in rows], [100 * r["map"] for r in rows]
        axes.plot(xs, ys, "o-", color=hue, label=label, markersize=5)
    axes.set(xlabel="expert parameters left, %", ylabel="mAP, %")
    axes.legend(loc="lower right")


def front(figure, dress, made: Mapping) -> None:
    axes = figure.subplots()
    for word, hue in (("halving", dress.hues[1]), ("mutation", dress.accent),
                      ("random", dress.hues[0])):  # fmt: skip
        rows = [row for row in made["rows"] if row["stage"].startswith(word)]
        size = [4 + 30 * row["steps"] / max(r["steps"] for r in made["rows"]) for row in rows]
        axes.scatter([r["flops"] / 1e6 for r in rows], [100 * r["map"] for r in rows], s=size,
                     color=hue, alpha=0.7, label=word, linewidth=0)  # fmt: skip
    xs, ys = zip(*((r["flops"] / 1e6, 100 * r["map"]) for r in made["pareto"]), strict=True)
    axes.plot(xs, ys, color=dress.ink, linewidth=1)
    axes.set(xlabel="MFLOP of the block", ylabel="validation mAP, %")
    axes.legend(loc="lower right")
