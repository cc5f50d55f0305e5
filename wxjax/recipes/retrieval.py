"""Re-identification: trains every variant with every seed, ranks, tests the gate, reports.

A run `<variant>/seed<n>/` whose weights stand is not trained again; a killed one goes on
where it was. `system/` is the first variant with the first seed: what `search` and
`explain` use.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files
from wxjax import task as tasks
from wxjax.data import identities, shots, sources
from wxjax.evaluate import retrieval as evaluation
from wxjax.evaluate.retrieval import Embedder
from wxjax.metrics import retrieval as ranking
from wxjax.metrics import routing
from wxjax.recipes import evidence, retrieval_cost, retrieval_variants, stages
from wxjax.report import retrieval as report
from wxjax.systems.reid import model
from wxjax.train import checkpoint, loop, manifest, weights


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, ranks the test split, and writes the report."""
    load = functools.cache(lambda split: shots.open(config.data, split))
    for name in retrieval_variants.expand(config.study.variants):
        for seed in config.study.seeds:
            train(config, workdir, name, int(seed), load)
    ship(config, workdir)
    test(config, workdir, load)


def folder(workdir: pathlib.Path, variant: str, seed: int) -> pathlib.Path:
    return workdir / variant / f"seed{seed}"


def variant_config(config: ConfigDict, name: str, seed: int, classes: int) -> ConfigDict:
    """What the task and the loop of one run see."""
    out = stages.stage_config(config, config.stage, config.stage)
    out.model.identities = int(classes)
    return retrieval_variants.apply(out, name)


def train(config: ConfigDict, workdir: pathlib.Path, name: str, seed: int, load: Callable) -> None:
    """One variant with one seed; returns at once where its weights stand."""
    place = folder(workdir, name, seed)
    if (place / "last" / weights.CARD).exists():
        return
    source, check = load("train"), load("val")
    one = variant_config(config, name, seed, len(np.unique(source.pids)))
    task = tasks.load(one)
    batches = identities.train_batches(
        source,
        identities=config.data.batch.identities,
        instances=config.data.batch.instances,
        seed=config.seed + seed,
        **config.data.augment.to_dict(),
    )
    # The seed reaches init as an argument and the step through the order of the shots, so
    # that all seeds of a variant share their compiled programs.
    variables = start(task, config.seed + seed)
    watch = validator(task, check, config)
    state = loop.train(
        task, one, batches, place, variables=variables, evaluate=watch, name=f"{name} {seed}"
    )
    about = evidence.provenance(one, source)
    about |= {
        "seed": config.seed + seed,
        "variant": name,
        "classes": one.model.identities,
        "best_step": best(place),
    }
    about["model"] = one.model.to_dict()
    if about["best_step"] != one.num_steps:
        picked = checkpoint.load_variables(place, about["best_step"])
        weights.save(place / "best", picked, about)
    weights.save(place / "last", jax.device_get(state.variables), about)


def start(task: Any, seed: int) -> dict:
    """Fresh variables. A program that runs once: compiling it well takes XLA:CPU longer than
    training a hundred steps, so it is not."""
    cheap = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(lambda key: task.init(key, {}), compiler_options=cheap)(jax.random.key(seed))


def best(place: pathlib.Path) -> int:
    """The step whose validation mAP was best among the checkpoints kept."""
    found = {}
    for step in checkpoint.steps(place / "checkpoints"):
        about = manifest.verify(place / "checkpoints" / str(step))
        found[step] = (about.get("metrics", {}).get("eval/ap") or 0.0, step)
    return max(found, key=found.get)


def validator(task: Any, source: Any, config: ConfigDict) -> Callable:
    """mAP and gates on held-out identities, for the curves and the best step."""
    known = evaluation.describe(source)
    before: dict[str, np.ndarray] = {}
    predict = jax.jit(task.predict)

    def watch(variables, step):
        embed = Embedder(task, variables, config.evaluate.batch_size, predict)
        out = embed(source)
        found, q, _ = evaluation.compare(known, out["feature"], protocol=protocol(config))
        rows = evaluation.rows(known, found, q, "", 0)
        values = task.summarize(rows)
        if "gates" in out:
            flat = out["gates"].reshape(-1, out["gates"].shape[-1])
            heads = [routing.soft(out["gates"][:, i]) for i in range(out["gates"].shape[1])]
            values["gate_entropy"] = float(np.mean([h["entropy"] for h in heads]))
            values["gate_decidedness"] = float(np.max([h["decidedness"] for h in heads]))
            values |= {f"gate_usage_{i}": float(u) for i, u in enumerate(flat.mean(0))}
            if "gates" in before:
                change = routing.drift(before["gates"], flat)
                values |= {f"gate_{name}": value for name, value in change.items()}
            before["gates"] = flat
        return values

    return watch


def protocol(config: ConfigDict) -> str:
    """What a true match must differ in: 'auto' is the scene for msvr310, else the camera."""
    named = config.evaluate.protocol
    if named == "auto":
        return "scene" if config.data.name == "msvr310" else "camera"
    if named not in evaluation.PLACES:
        raise errors.unknown("config.evaluate.protocol", named, ("auto", *evaluation.PLACES))
    return named


def ship(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Puts the first variant's first run where `search` and `explain` look for it."""
    name = retrieval_variants.expand(config.study.variants)[0]
    place = folder(workdir, name, int(config.study.seeds[0])) / "last"
    for file in (weights.ARRAYS, weights.CARD):
        files.write_bytes(workdir / "system" / file, (place / file).read_bytes())


def system(
    config: ConfigDict, workdir: pathlib.Path, place: pathlib.Path | None = None
) -> tuple[Any, dict, dict, ConfigDict]:
    """A trained network: its task, variables, provenance and config."""
    place = workdir / "system" if place is None else place
    if not (place / weights.CARD).exists():
        raise errors.InputError(
            f"{str(workdir)!r}: there is no trained run (no {place.name}/{weights.CARD}). Train "
            "one with `wxjax --config=configs/reid.py`, or name it with --workdir=DIR."
        )
    variables, about = weights.load(place)
    one = stages.stage_config(config, config.stage, config.stage)
    one.model = ConfigDict(about["model"])
    task = tasks.load(one)
    expected = jax.eval_shape(task.init, evidence.key(config), {})
    weights.check(variables, expected, place)
    return task, variables, about, one


def test(config: ConfigDict, workdir: pathlib.Path, load: Callable) -> None:
    """Rows, summary and report; skipped where they stand already for the same weights."""
    names = retrieval_variants.expand(config.study.variants)
    runs = [(name, int(seed)) for name in names for seed in config.study.seeds]
    source = load("test")
    hashes = {
        f"{name}/{seed}": files.sha256(folder(workdir, name, seed) / "last" / weights.ARRAYS)
        for name, seed in runs
    }
    stamp = {
        "weights": hashes,
        "data_hash": sources.fingerprint(source),
        "evaluate": json.loads(json.dumps(config.evaluate.to_dict())),
    }
    done = workdir / "evaluated.json"
    if not done.exists() or files.read_json(done) != stamp:
        evaluate(config, workdir, workdir, source, load("train"))
        files.write_json(done, stamp)
    report.build(workdir)


def evaluate(
    config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path, source: Any, reference: Any = None
) -> dict:
    """Ranks with every trained run; `retrieval.json` and `per_query.jsonl` under `out`.

    Args:
      reference: training shots, whose mean gates are a control; without them the source's own.
    """
    known = evaluation.describe(source)
    names = retrieval_variants.expand(config.study.variants)
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
        known, evaluation.raw_pixels(source), protocol=protocol(config), chunk=config.evaluate.chunk
    )
    made = {
        "model": "Multi-scale experts",
        "data": config.data.name,
        "protocol": protocol(config),
        "ap": config.evaluate.ap,
        "queries": int(np.isin(known.role, ("query", "both")).sum()),
        "gallery": int(np.isin(known.role, ("gallery", "both")).sum()),
        "identities": len(np.unique(known.pid)),
        "baseline": ranking.scores(raw),
        "runs": runs,
        "variants": summarise(rows, runs),
        "comparisons": comparisons(rows, names),
        "gate": gate_verdict(kept),
        "cost": retrieval_cost.measure(config, workdir, names, seeds[0]),
        "test_hash": sources.fingerprint(source),
        **{k: v for k, v in evidence.provenance(config, source).items() if k != "data_hash"},
    }
    made["findings"] = findings(made)
    files.write_json(out / "retrieval.json", made)
    report.samples(out, source, known, kept[str(seeds[0])])
    return made


def measure(config, workdir, name, seed, source, known, reference):
    """One run's scores by protocol, its rows, and what the gate's test needs."""
    place = folder(workdir, name, seed)
    task, variables, about, one = system(config, workdir, place / "last")
    sizes = model.sizes_of(one)
    size = config.evaluate.batch_size
    embed = Embedder(task, variables, size)
    options = dict(protocol=protocol(config), chunk=config.evaluate.chunk, form=config.evaluate.ap)
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
    first = name == retrieval_variants.expand(config.study.variants)[0]
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
    variants = made["variants"]
    first = next(iter(variants))
    spread = variants[first]["map"]["std"]
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
