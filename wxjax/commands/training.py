"""From data to a trained run and its page: train, prepare, convert, report."""

import pathlib

from wxjax import errors, files, settings
from wxjax.settings import Call


def train(call: Call) -> None:
    """wxjax [train] --config=FILE[:size] [--workdir=DIR] [--config.KEY=VALUE ...]

    Trains what is missing, evaluates on the test split, writes report.md and
    index.html into the workdir (default runs/<config name>). A stopped or killed run
    goes on where it was: run the same command again.

    examples:
      wxjax --config=configs/moei.py                      embedded photographs, minutes
      wxjax --config=configs/moei.py:tiny                 a CPU minute
      wxjax --config=configs/moei.py --config.seed=1 --workdir=runs/seed1
      wxjax --config=configs/moei.py:paper --config.data.root=DIR/meta.jsonl
    """
    if call.config is None:
        raise errors.InputError("train: expected --config=FILE, for example configs/moei.py.")
    import importlib

    from wxjax.train import allocator

    allocator.keep_memory()
    settings.save(call.config, call.workdir)
    recipe = call.config.recipe
    known = ("moei", "weather", "single", "video", "daytime", "retrieval", "infrared")
    if recipe not in known:
        raise errors.unknown("config.recipe", recipe, known)
    importlib.import_module(f"wxjax.recipes.{recipe}").run(call.config, call.workdir)
    print(f"report: {call.workdir / 'index.html'}")


def prepare(call: Call) -> None:
    """wxjax prepare DIR [--out=DIR]

    Scans a data set in one of the field's usual folder layouts, finds near-duplicates
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


def convert(call: Call) -> None:
    """wxjax convert SYSTEM FILE.pth|.safetensors|.npz --out=DIR [--overwrite]

    Reads a published PyTorch checkpoint (no PyTorch needed, no code in it is run) and
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
    system, file = call.arguments
    out = pathlib.Path(call.flags.out)
    config, size = imports.convert(system, pathlib.Path(file), out, overwrite=call.flags.overwrite)
    files.write_json(out / "config.json", settings.plain(config))
    print(f"{out}: {system} with {size:,} parameters")


def report(call: Call) -> None:
    """wxjax report [--workdir=DIR]

    Writes report.md, figures/ and index.html from the JSON files of a workdir; runs no
    network.

    examples:
      wxjax report --workdir=runs/moei
    """
    from wxjax.report import build, daytime, frames, retrieval

    makers = {"daytime": daytime, "retrieval": retrieval, "frames": frames}
    made = (maker for name, maker in makers.items() if (call.workdir / f"{name}.json").is_file())
    next(made, build).build(call.workdir)
    print(f"report: {call.workdir / 'index.html'}")
