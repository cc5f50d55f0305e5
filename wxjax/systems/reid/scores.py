"""What trained re-identification runs are worth: rankings, controls on the gate, findings."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from wxjax import files
from wxjax.data import sources
from wxjax.evaluate import stamp
from wxjax.systems.reid import cost, ranking, report, training, variants
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid.measure import Embedder
from wxjax.systems.reid.sizes import sizes_of
from wxjax.train import provenance, weights


def test(config: ConfigDict, workdir: pathlib.Path, load: Callable) -> None:
    """Rows, summary and report; skipped where they stand already for the same weights."""
    names = variants.expand(config.study.variants)
    runs = [(name, int(seed)) for name in names for seed in config.study.seeds]
    source = load("test")
    folders = {f"{name}/{seed}": training.folder(workdir, name, seed) for name, seed in runs}
    hashes = {name: files.sha256(at / "last" / weights.ARRAYS) for name, at in folders.items()}
    stamp.once(
        config,
        workdir,
        lambda: evaluate(config, workdir, workdir, source, load("train")),
        {"weights": hashes, "data_hash": sources.fingerprint(source)},
    )
    report.build(workdir)


def evaluate(
    config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path, source: Any, reference: Any = None
) -> dict:
    """Ranks with every trained run; `retrieval.json` and `per_query.jsonl` under `out`.

    Args:
      reference: training shots, whose mean gates are a control; without them the source's own.
    """
    known = evaluation.describe(source)
    names = variants.expand(config.study.variants)
    seeds = [int(seed) for seed in config.study.seeds]
    rows: list[dict] = []
    runs = []
    kept: dict[str, Any] = {}
    for name in names:
        for seed in seeds:
            entry, mine, more = measure(config, workdir, name, seed, source, known, reference)
            runs.append(entry)
            rows += mine
            if name == names[0]:
                kept[str(seed)] = more
    files.write_jsonl(out / "per_query.jsonl", rows)
    raw, _, _ = evaluation.compare(
        known,
        evaluation.raw_pixels(source),
        protocol=training.protocol(config),
        chunk=config.evaluate.chunk,
    )
    made = {
        "model": "Multi-scale experts",
        "data": config.data.name,
        "protocol": training.protocol(config),
        "ap": config.evaluate.ap,
        "queries": int(np.isin(known.role, ("query", "both")).sum()),
        "gallery": int(np.isin(known.role, ("gallery", "both")).sum()),
        "identities": len(np.unique(known.pid)),
        "baseline": ranking.scores(raw),
        "runs": runs,
        "variants": summarise(rows, runs),
        "comparisons": comparisons(rows, names),
        "gate": gate_verdict(kept),
        "cost": cost.measure(config, workdir, names, seeds[0]),
        "test_hash": sources.fingerprint(source),
        **{k: v for k, v in provenance.of(config, source).items() if k != "data_hash"},
    }
    made["findings"] = findings(made)
    files.write_json(out / "retrieval.json", made)
    report.samples(out, source, known, kept[str(seeds[0])])
    return made


def measure(config, workdir, name, seed, source, known, reference):
    """One run's scores by protocol, its rows, and what the gate's test needs."""
    place = training.folder(workdir, name, seed)
    task, variables, about, one = training.system(config, workdir, place / "last")
    sizes = sizes_of(one)
    size = config.evaluate.batch_size
    embed = Embedder(task, variables, size)
    options = dict(
        protocol=training.protocol(config), chunk=config.evaluate.chunk, form=config.evaluate.ap
    )
    out = embed(source, label=f"{name} {seed}")
    full, q, g = evaluation.compare(known, out["feature"], **options)
    rows = evaluation.rows(known, full, q, name, seed)
    entry = {"variant": name, "seed": seed, "best_step": about["best_step"]}
    entry["full"] = ranking.scores(full, config.evaluate.max_rank)
    if config.evaluate.rerank:
        again, _, _ = evaluation.compare(known, out["feature"], rerank=True, **options)
        entry["reranked"] = ranking.scores(again, config.evaluate.max_rank)
    if (place / "best" / weights.CARD).exists():
        picked = embed_with(task, place / "best", size)(source)
        entry["best"] = ranking.scores(
            evaluation.compare(known, picked["feature"], **options)[0], config.evaluate.max_rank
        )
    more: dict[str, Any] = {"outputs": out, "ranking": full, "query": q, "gallery": g}
    first = name == variants.expand(config.study.variants)[0]
    if first and len(sizes.modalities) > 1:
        entry["missing"] = {}
        for lost, left in evaluation.missing(sizes.modalities).items():
            part = embed(source, present=left)
            found = evaluation.compare(known, part["feature"], **options)[0]
            entry["missing"][lost] = ranking.scores(found, 10)
        entry["cross"] = cross(known, out["bands"], sizes.modalities, options)
    if "gates" in out:
        entry["gates"] = evaluation.about_gates(out["gates"], sizes.heads(), sizes.labels(), known)
    if first and "gates" in out:
        seen = embed(reference)["gates"] if reference is not None else out["gates"]
        valid = full.valid
        more["actual"] = {"ap": full.ap[valid], "pid": known.pid[q][valid]}
        more["decidedness"] = entry["gates"]["decidedness"]
        more["controls"] = {}
        for control, given in evaluation.controls(embed, source, out["gates"], seen, seed).items():
            found = evaluation.compare(known, given["feature"], **options)[0]
            more["controls"][control] = found.ap[valid]
            entry.setdefault("controls", {})[control] = ranking.scores(found, 10)
    return entry, rows, more


def embed_with(task: Any, place: pathlib.Path, size: int) -> Embedder:
    return Embedder(task, weights.load(place)[0], size)


def cross(known, bands, names, options) -> dict[str, dict]:
    """Queries in one band, gallery in another."""
    found = {}
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            if i == j or not known.present[:, [i, j]].all():
                continue
            ranked = evaluation.compare(known, bands[:, i], bands[:, j], **options)[0]
            found[f"{a} to {b}"] = ranking.scores(ranked, 10)
    return found


def summarise(rows: list[dict], runs: list[dict]) -> dict[str, dict]:
    """Per variant: means over seeds with their deviation, and an interval over identities."""
    found = {}
    for name in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == name]
        valid = [row for row in rows if row["variant"] == name and row["valid"]]
        pid = np.array([row["pid"] for row in valid])
        entry: dict[str, Any] = {"seeds": len(mine)}
        for key, column in (("map", "ap"), ("minp", "inp"), ("rank1", "rank1"),
                            ("rank5", "rank5"), ("rank10", "rank10")):  # fmt: skip
            each = [run["full"][key] for run in mine]
            values = np.array([row[column] for row in valid], float)
            entry[key] = {
                **ranking.by_identity(values, pid),
                "std": float(np.std(each, ddof=1)) if len(each) > 1 else None,
            }
        best = [run.get("best", run["full"])["map"] for run in mine]
        entry["best_map"] = float(np.mean(best))
        found[name] = entry
    return found


def comparisons(rows: list[dict], names: list[str]) -> dict[str, dict]:
    """The first variant against each other one: AP paired by query and seed, over identities."""
    table = {(r["variant"], r["seed"], r["id"]): r for r in rows if r["valid"]}
    found = {}
    for other in names[1:]:
        pairs = [
            (row, table[other, seed, query])
            for (name, seed, query), row in table.items()
            if name == names[0] and (other, seed, query) in table
        ]
        change = np.array([a["ap"] - b["ap"] for a, b in pairs])
        pid = np.array([a["pid"] for a, _ in pairs])
        each = [
            float(np.mean([a["ap"] - b["ap"] for a, b in pairs if a["seed"] == seed]))
            for seed in sorted({a["seed"] for a, _ in pairs})
        ]
        found[other] = ranking.by_identity(change, pid) | {
            "std": float(np.std(each, ddof=1)) if len(each) > 1 else None,
            "each": each,
        }
    return found


def gate_verdict(kept: Mapping[str, Any]) -> dict | None:
    """Whether the first variant's gate does anything; None where it has no gate."""
    able = [more for more in kept.values() if "controls" in more]
    if not able:
        return None
    controls = {name: [more["controls"][name] for more in able] for name in able[0]["controls"]}
    actual = [more["actual"] for more in able]
    return evaluation.verdict(actual, controls, [more["decidedness"] for more in able])


def findings(made: Mapping[str, Any]) -> list[str]:
    """What the numbers allow to be said, in plain sentences."""
    found = []
    measured = made["variants"]
    first = next(iter(measured))
    spread = measured[first]["map"]["std"]
    beaten = []
    for other, change in made["comparisons"].items():
        clear = change["low"] > 0 and change["mean"] > (spread or 0)
        worse = change["high"] < 0
        word = "better than" if clear else "worse than" if worse else "not different from"
        found.append(
            f"{first} is {word} {other}: {100 * change['mean']:+.2f} mAP "
            f"[{100 * change['low']:+.2f}, {100 * change['high']:+.2f}]."
        )
        if other.startswith("mlp"):
            beaten.append(clear)
    gate = made["gate"]
    if gate:
        if gate["unused"]:
            found.append(f"Gate unused: {'; '.join(gate['reasons'])}.")
        else:
            found.append("The gate is used: every control without it ranks worse.")
    if beaten and gate:
        helps = all(beaten) and not gate["unused"]
        found.append(
            "Experts help here: the matched MLPs and the frozen gate are both beaten."
            if helps
            else "No gain from experts is shown here: that would take beating both the matched "
            "MLPs and the frozen gate by more than a standard deviation."
        )
    return found
