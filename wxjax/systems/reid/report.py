"""From the files of a re-identification run to `report.md`, `figures/*.png`, `index.html`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.report import cells, document
from wxjax.report.cells import Cell, Table, number
from wxjax.systems.reid import figures as plots
from wxjax.systems.reid import sheets
from wxjax.systems.reid.studies import report as studies

NAMES = {
    "moe": "Gated experts",
    "mlp": "MLP as documented",
    "mlp_matched": "MLP, equal parameters",
    "mlp_flops": "MLP, equal operations",
    "global": "No windows",
    "average": "Experts averaged",
    "document": "1-D windows as documented",
}


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report of a run from what its workdir holds; runs no network.

    Raises:
      InputError: where `workdir` holds no `retrieval.json`.
    """
    workdir = pathlib.Path(workdir)
    if not (workdir / "retrieval.json").exists():
        raise errors.InputError(f"{str(workdir)!r}: no retrieval.json. Run `wxjax evaluate` first.")
    made = files.read_json(workdir / "retrieval.json")
    history = training(workdir, made)
    extra = studies.read(workdir)
    document.write(
        workdir,
        f"{made['model']}: re-identification on {made['data']}",
        findings=made["findings"],
        tables=[*tables(made), *studies.tables(extra)],
        plots=document.draw(
            workdir, plots.available(made, history, workdir) | studies.available(extra)
        ),
        pictures=document.samples(workdir, described),
        wide=("curves", "weights", "usage"),
    )


def percent(value: float | None, digits: int = 1) -> str:
    return number(None if value is None else 100 * value, digits)


def label(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))


def _estimate(stats: Mapping) -> Cell:
    text = percent(stats["mean"])
    if stats.get("std") is not None:
        text += f" ± {percent(stats['std'])}"
    return Cell(text, f"{percent(stats['low'])} to {percent(stats['high'])}")


def tables(made: Mapping) -> list[Table]:
    """Scores, differences, controls, gates, missing bands, cross-band, cost."""
    found = [scores(made)]
    found += [differences(made)] if made["comparisons"] else []
    found += [gate(made)] if made["gate"] else []
    first = next(iter(made["variants"]))
    runs = [run for run in made["runs"] if run["variant"] == first]
    if any("gates" in run for run in runs):
        found.append(routing(runs))
    if "missing" in runs[0]:
        found.append(missing(runs))
    if runs[0].get("cross"):
        found.append(cross(runs))
    return [*found, costs(made["cost"])]


def scores(made: Mapping) -> Table:
    """Every variant, mean over seeds, interval over identities."""
    header = ("", "mAP ↑", "mINP ↑", "Rank-1 ↑", "Rank-5 ↑", "Rank-10 ↑", "mAP of best step")
    rows = [
        (
            Cell(label(name)),
            *(_estimate(entry[key]) for key in ("map", "minp", "rank1", "rank5", "rank10")),
            Cell(percent(entry["best_map"])),
        )
        for name, entry in made["variants"].items()
    ]
    raw = made["baseline"]
    keys = ("map", "minp", "rank1", "rank5", "rank10")
    rows.append((Cell("Raw pixels, 16 x 8"), *(Cell(percent(raw[k])) for k in keys), Cell("–")))
    count = next(iter(made["variants"].values()))["seeds"]
    valid = made["runs"][0]["full"]["valid"]
    note = (
        f"Percent. Mean ± standard deviation over {count} seeds, last step; 95 % interval over "
        f"{made['identities']} identities. {valid} of {made['queries']} queries have a true match "
        f"among {made['gallery']}; a match must differ in {made['protocol']}. The best step is "
        "that of the validation identities, never of the test."
    )
    return Table("Ranking", header, rows, note)


def differences(made: Mapping) -> Table:
    first = label(next(iter(made["variants"])))
    header = (f"{first} against", "mAP, points", "± over seeds")
    rows = [
        (
            Cell(label(name)),
            Cell(
                percent(entry["mean"], 2),
                f"{percent(entry['low'], 2)} to {percent(entry['high'], 2)}",
            ),
            Cell(percent(entry["std"], 2)),
        )
        for name, entry in made["comparisons"].items()
    ]
    return Table("Differences", header, rows, "Paired by query and seed; interval over identities.")


def gate(made: Mapping) -> Table:
    """The controls: the same weights, with gates that know nothing of their input."""
    words = {"uniform": "1/E for every expert", "mean": "mean of the training shots",
             "shuffled": "those of another shot"}  # fmt: skip
    header = ("Gates replaced by", "mAP lost, points")
    rows = [
        (
            Cell(words.get(name, name)),
            Cell(percent(c["drop"], 2), f"{percent(c['low'], 2)} to {percent(c['high'], 2)}"),
        )
        for name, c in made["gate"]["controls"].items()
    ]
    flag = "GATE UNUSED. " if made["gate"]["unused"] else "The gate is used. "
    note = (
        flag + f"Mutual information of input and expert: {made['gate']['decidedness']:.4f} nats "
        "(largest over gates, mean over seeds); below 0.01 a gate counts as unused. "
        + "; ".join(made["gate"]["reasons"])
    )
    return Table("Does the gate do anything?", header, rows, note)


def routing(runs: Sequence[Mapping]) -> Table:
    """Usage and entropy of every gate, mean over seeds."""
    kept = [run["gates"] for run in runs if "gates" in run]
    experts = kept[0]["experts"]
    header = ("Gate", *experts, "entropy", "MI, nats", "experts active")
    rows = []
    for head in kept[0]["heads"]:
        mine = [k["heads"][head] for k in kept]
        usage = np.mean([m["usage"] for m in mine], 0)
        rows.append(
            (
                Cell(head),
                *(Cell(number(float(u), 3)) for u in usage),
                Cell(number(float(np.mean([m["entropy"] for m in mine])), 3)),
                Cell(number(float(np.mean([m["decidedness"] for m in mine])), 4)),
                Cell(number(float(np.mean([m["active"]["mean"] for m in mine])), 2)),
            )
        )
    note = "Mean weight of every expert; entropy over log E: 1 is uniform, 0 one-hot."
    return Table("Expert usage", header, rows, note)


def missing(runs: Sequence[Mapping]) -> Table:
    header = ("Bands", "mAP ↑", "Rank-1 ↑")
    names = {"all": [run["full"] for run in runs]}
    names |= {name: [run["missing"][name] for run in runs] for name in runs[0]["missing"]}
    rows = [
        (
            Cell(name),
            Cell(percent(float(np.mean([e["map"] for e in entries])))),
            Cell(percent(float(np.mean([e["rank1"] for e in entries])))),
        )
        for name, entries in names.items()
    ]
    return Table(
        "Missing bands", header, rows, "Dropped from queries and gallery; mean over seeds."
    )


def cross(runs: Sequence[Mapping]) -> Table:
    header = ("Query to gallery", "mAP ↑", "Rank-1 ↑")
    rows = [
        (
            Cell(name),
            Cell(percent(float(np.mean([run["cross"][name]["map"] for run in runs])))),
            Cell(percent(float(np.mean([run["cross"][name]["rank1"] for run in runs])))),
        )
        for name in runs[0]["cross"]
    ]
    return Table("One band asks, another answers", header, rows, "Nothing was trained for this.")


def costs(cost: Mapping) -> Table:
    header = ("", "Parameters", "of the block", "GFLOP", "of the block, MFLOP",
              "ms, batch 1", "ms a shot, batch 32", "program, MB")  # fmt: skip
    rows = [
        (
            Cell(label(name) + (f" ({row['hidden']} hidden)" if "hidden" in row else "")),
            Cell(cells.plain(row["parameters"])),
            Cell(cells.plain(row["block_parameters"])),
            Cell(number(row["flops_g"], 4)),
            Cell(number(row["block_flops"] / 1e6, 3)),
            *(
                Cell(
                    number(row[f"latency_ms_{n}"]["median"], 2),
                    f"95 % under {number(row[f'latency_ms_{n}']['p95'], 2)}",
                )
                for n in (1, 32)
            ),
            Cell(number(row.get("program_mb"), 1)),
        )
        for name, row in cost["variants"].items()
    ]
    note = (
        f"On {cost['device']}. The block is one band's experts and gate, or MLP; windows and "
        "backbone are the same for all. A matrix product is two operations a weight, so one MLP "
        "matches parameters and operations to within 3 % where every expert runs."
    )
    return Table("Cost", header, rows, note)


def training(workdir: pathlib.Path, made: Mapping) -> dict[str, list[dict]]:
    """Rows of metrics.jsonl of every run of the first variant."""
    first = next(iter(made["variants"]))
    found = {}
    for path in sorted((workdir / first).glob("seed*/metrics.jsonl")):
        found[path.parent.name] = files.read_jsonl(path)
    return found


def described(path: pathlib.Path) -> str:
    return {
        "ranked": "Queries (left) and the first gallery shots, best first; the three bands below "
        "each other. Green: the right identity; red: another.",
        "windows": "What attention over windows looks at, one column a scale, one row a band.",
    }.get(path.stem, path.stem)


def samples(out: pathlib.Path, source: Any, known: Any, more: Mapping[str, Any]) -> None:
    """Ranked lists with frames, and attention over windows, of the first run."""
    folder = out / "samples"
    ranked = sheets.ranked_lists(source, known, more)
    files.write_bytes(folder / "ranked.png", ranked)
    if "shares" in more["outputs"]:
        files.write_bytes(folder / "windows.png", sheets.windows(source, more["outputs"]))
    if "gates" in more["outputs"]:
        gates = np.asarray(more["outputs"]["gates"], np.float32)
        with files.atomic(out / "gates.npz") as file:
            np.savez(file, gates=gates, pid=known.pid)
