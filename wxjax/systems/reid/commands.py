"""Commands of a trained re-identification network: search, explain; its evaluate and bench."""

import pathlib

from ml_collections import ConfigDict

from wxjax import errors, files, settings
from wxjax.command import OUT, WORKDIR, Call, Command, Flag
from wxjax.systems import BenchOptions, Evaluated, EvaluateOptions

GROUP = "re-identification (reid)"


def search(call: Call) -> None:
    """Ranks the shots of a folder by likeness to a query, with a trained re-identification
    network; writes search.png (a contact sheet, best first) and search.json. The other bands
    of a picture are found under its name in the folders RGB, NI, TI beside it; absent ones
    are done without. Features of the gallery are kept in the workdir and used again until a
    file or the network changes.

    examples:
      wxjax search test/RGB/000061_cam1_0_00.jpg --gallery=test --workdir=runs/reid
      wxjax search person.jpg --gallery=frames/ --top=20 --out=results
      wxjax search rgb=a.jpg,tir=b.jpg --gallery=test
    """
    from wxjax.systems.reid import search as searching

    if len(call.arguments) != 1 or not call.flags.gallery:
        raise errors.InputError(
            "search: expected one query and --gallery=DIR, for example "
            "`wxjax search person.jpg --gallery=frames --workdir=runs/reid`."
        )
    config = settings.run_of(call, "reid")
    out = pathlib.Path(call.flags.out or ".")
    made = searching.run(
        config, call.workdir, call.arguments[0], call.flags.gallery, out, call.flags.top
    )
    for found in made["results"]:
        print(f"{found['rank']:3d}  {found['similarity']:.4f}  {found['id']}")
    print(f"{made['gallery']} shots: {made['embedded']} embedded, {made['reused']} from the store")
    print(f"sheet: {out / 'search.png'}")


SEARCH = Command(
    search, "rank a folder of people or vehicles by likeness to one", GROUP,
    arguments="QUERY",
    flags=(
        Flag("gallery", "folder of shots to rank", value="DIR"),
        Flag("top", "how many results (default 10)", int, 10, least=1),
        OUT, WORKDIR,
    ), config=True,
)  # fmt: skip


def explain(call: Call) -> None:
    """Why a re-identification network finds two shots of its test split alike: the gates'
    weights, the similarity split into what the global vector and every expert put in (it
    sums exactly), attention over windows, and rank and AP with each expert left out. Writes
    explain.png and explain.json.

    examples:
      wxjax explain 020003_cam1_00 020003_cam2_01 --workdir=runs/reid
      wxjax explain 000061_cam1_0_00 000072_cam2_0_03 --workdir=runs/rgbnt201 --out=why
    """
    from wxjax.systems.reid import explanation as explaining

    if len(call.arguments) != 2:
        raise errors.InputError(
            "explain: expected two ids of the test split, for example "
            "`wxjax explain 020003_cam1_00 020003_cam2_01 --workdir=runs/reid`."
        )
    out = pathlib.Path(call.flags.out or ".")
    made = explaining.run(settings.run_of(call, "reid"), call.workdir, *call.arguments, out)
    for name, found in made["removed"].items():
        words = "as it is" if name == "none" else f"without {name}"
        ap = "-" if found["ap"] is None else f"{100 * found['ap']:.1f}"
        print(f"{words:22s} similarity {found['similarity']:.4f}, rank {found['rank']}, AP {ap}")
    print(f"picture: {out / 'explain.png'}")


EXPLAIN = Command(
    explain, "why two of them are alike to the network", GROUP,
    arguments="QUERY ITEM", flags=(OUT, WORKDIR), config=True,
)  # fmt: skip


def evaluate(config: ConfigDict, workdir: pathlib.Path, options: EvaluateOptions) -> Evaluated:
    """`evaluate` of a re-identification run: on its own test shots, or on `--data` (of the layout
    that config.data.name says)."""
    import functools

    from wxjax.systems.reid import report, scores
    from wxjax.systems.reid.data import shots

    if not options.data:
        load = functools.cache(lambda split: shots.open(config.data, split))
        scores.test(config, workdir, load)
        return Evaluated(workdir)
    with config.unlocked():
        config.data.root = options.data
    out = options.folder(workdir)
    made = scores.evaluate(config, workdir, out, shots.open(config.data, "test"))
    report.build(out)
    lines = [
        f"{variant:14s} mAP {100 * entry['map']['mean']:.1f}, "
        f"Rank-1 {100 * entry['rank1']['mean']:.1f}"
        for variant, entry in made["variants"].items()
    ]
    return Evaluated(out, lines)


def study(call: Call) -> None:
    """Small experiments around a re-identification run; each writes its JSON into the workdir
    and goes on where it was stopped.

    shrink    hidden units and whole experts pruned and fine-tuned, int8: mAP, size, time
    federate  one client a camera: central, local, FedAvg, private experts, FedProx
    search    successive halving and mutation over fusion blocks, against random search

    examples:
      wxjax study shrink --workdir=runs/reid
      wxjax study federate --config=configs/reid.py --config.federate.split=identity
      wxjax study search --config=configs/reid.py --config.search.configs=9
    """
    import importlib

    known = {"shrink": "shrink", "federate": "federate", "search": "architecture"}
    if len(call.arguments) != 1:
        raise errors.InputError("study: expected one of shrink, federate, search.")
    name = call.arguments[0]
    if name not in known:
        raise errors.unknown("study", name, known)
    config = settings.run_of(call, "reid")
    importlib.import_module(f"wxjax.systems.reid.studies.{known[name]}").run(config, call.workdir)
    print(f"results: {call.workdir / name}.json")
    if (call.workdir / "retrieval.json").exists():
        from wxjax.systems.reid import report

        report.build(call.workdir)
        print(f"report: {call.workdir / 'index.html'}")


STUDY = Command(
    study, "smaller networks, federated training, a search over fusion blocks", GROUP,
    arguments="shrink|federate|search", flags=(WORKDIR,), config=True,
)  # fmt: skip


def bench(config: ConfigDict, workdir: pathlib.Path, options: BenchOptions) -> list[str]:
    """The cost of every variant, measured again, in `retrieval.json` and the report."""
    from wxjax.systems.reid import cost, report, variants

    path = workdir / "retrieval.json"
    made = files.read_json(path)
    with config.unlocked():
        config.evaluate.repeats = options.repeats
    names = variants.expand(config.study.variants)
    made["cost"] = cost.measure(config, workdir, names, int(config.study.seeds[0]))
    files.write_json(path, made)
    report.build(workdir)
    return [
        f"{name:14s} {row['parameters']:,} parameters, {1e3 * row['flops_g']:.2f} MFLOP, "
        f"{row['latency_ms_1']['median']:.2f} ms alone, {row['latency_ms_32']['median']:.2f} "
        "ms per shot of 32"
        for name, row in made["cost"]["variants"].items()
    ]
