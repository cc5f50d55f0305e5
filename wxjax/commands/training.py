"""From data to a trained run and its page: train, prepare, convert, report."""

import pathlib

from wxjax import errors, files, settings, systems
from wxjax.command import OUT, OVERWRITE, WORKDIR, Call, Command


def train(call: Call) -> None:
    """Trains what is missing, evaluates on the test split, and writes report.md and
    index.html into the workdir (default runs/<config name>). A run that was stopped or
    killed goes on where it was: give the same command again.

    examples:
      wxjax --config=configs/moei.py                      embedded photographs, minutes
      wxjax --config=configs/moei.py:tiny                 a CPU minute
      wxjax --config=configs/moei.py --config.seed=1 --workdir=runs/seed1
      wxjax --config=configs/moei.py:paper --config.data.root=DIR/meta.jsonl
    """
    if call.arguments:
        raise errors.InputError(f"train: takes no {call.arguments[0]!r}, only --flags.")
    if call.config is None:
        raise errors.InputError("train: expected --config=FILE, for example configs/moei.py.")
    system = systems.load(call.config.system)
    from wxjax.train import allocator

    allocator.keep_memory()
    system.make(call.config)  # refuses what it can before a file is written
    fresh = not call.workdir.exists()
    settings.save(call.config, call.workdir)
    try:
        system.train(call.config, call.workdir)
    except errors.InputError:
        # A config that was refused before it made anything must not claim the folder.
        if fresh and [path.name for path in call.workdir.iterdir()] == ["config.json"]:
            (call.workdir / "config.json").unlink()
            call.workdir.rmdir()
        raise
    print(f"report: {call.workdir / 'index.html'}")


TRAIN = Command(
    train, "train what is missing, evaluate, write the report (the default)", "training",
    flags=(WORKDIR,), config=True,
)  # fmt: skip


def prepare(call: Call) -> None:
    """Scans a data set in one of the field's usual folder layouts, finds near-duplicates
    and misaligned pairs, estimates severity, splits by scene, and writes meta.jsonl and
    audit.json. Leaks between splits are refused and listed.

    examples:
      wxjax prepare data/allweather --out=data/allweather-meta
    """
    from wxjax.data import prepare as preparation

    if len(call.arguments) != 1:
        raise errors.InputError("prepare: expected one folder, for example data/allweather.")
    found = preparation.prepare(call.arguments[0], call.flags.out or call.arguments[0])
    print(preparation.summary(found))


PREPARE = Command(
    prepare, "audit a data set: near-duplicates, misalignment, leaks, splits", "training",
    arguments="DIR", flags=(OUT,), device=False,
)  # fmt: skip


def convert(call: Call) -> None:
    """Reads a published PyTorch checkpoint (no PyTorch needed, no code in it is run) and
    writes a folder that restore --model and evaluate --workdir take. Sizes and variant
    are read off the checkpoint; what does not fit is listed from both sides.

    examples:
      wxjax convert dehazexl best.pth --out=dehazexl
      wxjax restore photo.jpg --out=restored --model=dehazexl
    """
    from wxjax.recipes import imports

    if len(call.arguments) != 2 or not call.flags.out:
        raise errors.InputError(
            "convert: expected a system, a file and --out=DIR, for example "
            "`wxjax convert dehazexl best.pth --out=dehazexl`."
        )
    kind, file = call.arguments
    out = pathlib.Path(call.flags.out)
    config, size = imports.convert(kind, pathlib.Path(file), out, overwrite=call.flags.overwrite)
    files.write_json(out / "config.json", settings.plain(config))
    print(f"{out}: {kind} with {size:,} parameters")


CONVERT = Command(
    convert, "a published PyTorch checkpoint as a folder that restore takes", "training",
    arguments="SYSTEM FILE.pth|.safetensors|.npz", flags=(OUT, OVERWRITE), device=False,
)  # fmt: skip


def report(call: Call) -> None:
    """Writes report.md, figures/ and index.html from the JSON files of a workdir, or of a
    folder that evaluate wrote; runs no network.

    examples:
      wxjax report --workdir=runs/moei
    """
    if call.arguments:
        raise errors.InputError(f"report: takes no {call.arguments[0]!r}: name --workdir=DIR.")
    if (call.workdir / "config.json").exists():
        system = systems.load(settings.read(call.workdir).system)
    else:
        every = [systems.load(name) for name in systems.SYSTEMS]
        known = (entry for entry in every if (call.workdir / entry.results).is_file())
        system = next(known, every[0])
    system.report(call.workdir)
    print(f"report: {call.workdir / 'index.html'}")


REPORT = Command(
    report, "report.md and index.html from the files of a workdir", "training",
    flags=(WORKDIR,), device=False,
)  # fmt: skip
