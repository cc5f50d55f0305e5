"""The commands: thin functions between the command line and the library."""

import os
import pathlib
import sys

import numpy as np

from wxjax import errors, files, settings
from wxjax.settings import Call
from wxjax.task import DEGRADATIONS


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
    known = ("moei", "single", "video")
    if recipe not in known:
        raise errors.unknown("config.recipe", recipe, known)
    importlib.import_module(f"wxjax.recipes.{recipe}").run(call.config, call.workdir)
    print(f"report: {call.workdir / 'index.html'}")


def evaluate(call: Call) -> None:
    """wxjax evaluate [--data=DIR|meta.jsonl] [--degradation=KIND] [--workdir=DIR] [--out=DIR]

    Measures a trained model: the input, Dense-Unified, each expert, the router's
    choice and the Oracle, a row an image and variant, then a summary with intervals
    and a report. Without --data, the test split of the run's own data.

    examples:
      wxjax evaluate --workdir=runs/moei
      wxjax evaluate --data=pairs --degradation=rain --out=results/rain
      wxjax evaluate --data=meta.jsonl --config.evaluate.protocol=restormer-y
    """
    from wxjax.data import sources
    from wxjax.recipes import evidence, single
    from wxjax.report import build

    config = settings.load(call)
    if call.flags.degradation and call.flags.degradation not in DEGRADATIONS:
        raise errors.unknown("--degradation", call.flags.degradation, DEGRADATIONS)
    if config.recipe == "video":
        evaluate_clips(config, call)
        return
    if not call.flags.data and config.recipe == "single":
        single.test(config, call.workdir, sources.open(config.data, "test"))
        print(f"report: {call.workdir / 'index.html'}")
        return
    if not call.flags.data:
        evidence.test(
            config,
            call.workdir,
            sources.open(config.data, "test"),
            mixed=evidence.mixed(config),
        )
        print(f"report: {call.workdir / 'index.html'}")
        return
    source = sources.path(call.flags.data)
    if call.flags.degradation:
        source = Labelled(source, call.flags.degradation)
    name = pathlib.Path(call.flags.data).resolve().name.removesuffix(".jsonl")
    out = pathlib.Path(call.flags.out or call.workdir / "evaluate" / name)
    if config.recipe == "single":
        made = single.evaluate(config, call.workdir, out, source)
    else:
        task, variables, about = evidence.system(config, call.workdir)
        made = evidence.evaluate(
            config, out, task, variables, about, source, weights_from=call.workdir / "system"
        )
    build.build(out)
    for variant, entry in made["variants"].items():
        figures = ", ".join(
            f"{name} {entry['macro'][name]['mean']:.3f}"
            for name in ("psnr", "ssim", "lpips")
            if entry["macro"].get(name)
        )
        print(f"{variant:8s} {figures}")
    print(f"report: {out / 'index.html'}")


def evaluate_clips(config, call: Call) -> None:
    """`evaluate` of a video network: on its own test clips, or on a folder of clips."""
    from wxjax.data import clips
    from wxjax.recipes import video
    from wxjax.report import clips as report

    if not call.flags.data:
        video.test(config, call.workdir, clips.open(config.data, "test"))
        print(f"report: {call.workdir / 'index.html'}")
        return
    name = pathlib.Path(call.flags.data).resolve().name
    out = pathlib.Path(call.flags.out or call.workdir / "evaluate" / name)
    found = clips.scan(call.flags.data)
    held = [film for film in found if film.split == "test"]
    made = video.evaluate(config, call.workdir, out, clips.Folder(held or found))
    report.build(out)
    for variant, entry in made["variants"].items():
        figures = ", ".join(
            f"{name} {entry[name]['all']:.3f}"
            for name in ("psnr", "ssim", "lpips")
            if entry[name]["all"] is not None
        )
        print(f"{variant:8s} {figures}")
    print(f"report: {out / 'index.html'}")


class Labelled:
    """A source whose examples all carry one degradation."""

    def __init__(self, source, kind: str):
        self._source, self._kind = source, kind

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int) -> dict:
        return {**self._source[i], "degradation": np.int32(DEGRADATIONS.index(self._kind))}

    def items(self) -> dict[str, str]:
        return {name: f"{self._kind} {token}" for name, token in self._source.items().items()}

    def __repr__(self) -> str:
        return f"Labelled({self._source!r}, {self._kind})"


def restore(call: Call) -> None:
    """wxjax restore FILE|DIR ... --out=DIR [--workdir=DIR] [--model=DIR|identity] [--overwrite]
    [--memory=8GiB] [--devices=N] [--noreference] [--noscene-reset] [--reset-every=N]

    Cleans photographs: JPEG, PNG, TIFF, WebP in, the same kind out, with profile, EXIF,
    depth and alpha kept, and a JSON record beside each. Folders are mirrored; a broken
    file is listed and the rest goes on (exit code 1); run again, only what is missing
    or changed is done.

    Films (.mp4 .m4v .mov .mkv .webm) frame by frame, times, depth, colour tags and sound
    kept; with a video network (configs/mofme_video.py) each frame sees the one restored
    before, and a folder is the frames of one film. Killed, a film goes on from its last
    complete segment. --noreference restores frame by frame, --noscene-reset keeps the
    reference over a cut.

    examples:
      wxjax restore photo.jpg --out=restored
      wxjax restore clip.mp4 --out=restored --model=runs/mofme_video
      wxjax restore holiday/ --out=restored --workdir=runs/moei
      wxjax restore holiday/ --out=restored --tile-mode=average  no lattice on skies, 4x the time
      wxjax restore holiday/ --out=restored --model=dehazexl    a folder from `wxjax convert`
      wxjax restore holiday/ --out=copy --model=identity
      wxjax restore mosaic.tif --out=restored --memory=8GiB     any size, within the memory
    """
    from wxjax.restore import photo, video

    if not call.arguments:
        raise errors.InputError("restore: expected files or folders, for example photo.jpg.")
    out = pathlib.Path(call.flags.out or "restored")
    model = call.flags.model
    if model and model != "identity" and not (pathlib.Path(model) / "config.json").is_file():
        expected = "expected 'identity' or a folder that train or convert wrote"
        raise errors.bad("--model", model, f"{expected} (it holds no config.json)")
    if model and model != "identity":
        call = call._replace(workdir=pathlib.Path(model))
    remembers = model != "identity" and settings.load(call).recipe == "video"
    films = [
        name
        for name in call.arguments
        if video.is_film(name) or (remembers and pathlib.Path(name).is_dir())
    ]
    pictures = [name for name in call.arguments if name not in films]
    reports = []
    if films:
        from wxjax.report import film

        stream, about = film_stream(call, remembers)
        options = dict(settings=about, overwrite=call.flags.overwrite, plot=film.draw)
        reports.append(video.restore(films, out, stream, **options))
    if pictures:
        restorer, about = photo_restorer(call)
        options = dict(settings=about, overwrite=call.flags.overwrite)
        reports.append(photo.restore(pictures, out, restorer, **options))
    if any(report.failed for report in reports):
        # 2 where nothing at all could be done, 1 where the rest went well
        sys.exit(1 if any(report.done or report.skipped for report in reports) else 2)


def film_stream(call: Call, remembers: bool):
    """What restores films, and its settings: the network's own stream, else frame by frame."""
    from wxjax.recipes import video
    from wxjax.restore.video import EachFrame

    if not remembers:
        restorer, about = photo_restorer(call)
        return EachFrame(restorer), about
    config = settings.load(call)
    video.allow(config, call.flags["scene-reset"].value, call.flags["reset-every"].value)
    return video.streamer(config, call.workdir, call.flags.reference)


def photo_restorer(call: Call):
    """The workdir's system as a function of one float32 picture, and its settings."""
    from wxjax.recipes import evidence, pictures, single
    from wxjax.restore import photo

    if call.flags.model == "identity":
        return photo.identity, {"model": "identity"}
    config = settings.load(call)
    pictures.allow(config, call.flags.memory, call.flags.devices)
    if config.recipe in ("single", "video"):
        return single.restorer(config, call.workdir)
    task, variables, about = evidence.system(config, call.workdir)
    program = pictures.program(task, variables, config.tiles)

    def restorer(rgb):
        restored, said = program(rgb, force=np.int32(-1))
        index = int(said["route"][0])
        info = {
            "route": evidence.ROUTES[index],
            "index": index,
            "pmax": float(said["confidence"][0]),
            "p": [float(p) for p in said["weights"][0]],
            "abstained": bool(said["abstained"][0]),
            "latency_ms": float(said["latency_ms"]),
            "ms_per_mp": float(said["ms_per_mp"]),
            "mem_gb": float(said["mem_gb"]),
        }
        return restored, info

    restorer.takes_uint8 = program.takes_uint8
    tiles = config.tiles
    return restorer, {
        "model": "MoE-I",
        "weights_hash": files.sha256(call.workdir / "system" / "weights.npz"),
        "commit": about.get("commit"),
        "tile": tiles.tile,
        "overlap": tiles.overlap,
        "blend": tiles.blend,
        "mode": tiles.mode,
        "average": bool(tiles.get("average", False)),
        "temperature": float(variables["calibration"]["temperature"]),
        "tau": float(variables["calibration"]["threshold"]),
    }


def plan(call: Call) -> None:
    """wxjax plan FILE ... [--model=DIR | --config=FILE[:size]] [--memory=8GiB] [--devices=N]

    Says what restoring a picture will take in memory and time, before it is read; and how:
    tiles at a time, encoder maps kept or computed again. --memory is the most that the
    process may hold; restore obeys the same flag. With --config, for a network that is not
    trained yet.

    examples:
      wxjax plan photo.jpg --workdir=runs/moei
      wxjax plan mosaic.tif --model=dehazexl --memory=8GiB
      wxjax plan mosaic.tif --config=configs/dehazexl.py:paper
    """
    from wxjax.recipes import evidence, pictures, single

    if not call.arguments:
        raise errors.InputError("plan: expected files, for example photo.jpg.")
    workdir = pathlib.Path(call.flags.model or call.workdir)
    config = settings.load(call._replace(workdir=workdir))
    pictures.allow(config, call.flags.memory, call.flags.devices)
    if call.config is not None:
        task, variables = pictures.blank(config)
    else:
        trained = evidence.system if config.recipe == "moei" else single.system
        task, variables, _ = trained(config, workdir)
    made = pictures.plans(pictures.program(task, variables, config.tiles), call.arguments)
    for name, entry in zip(call.arguments, made, strict=True):
        print("\n".join(entry.lines(name)))


def bench(call: Call) -> None:
    """wxjax bench [--workdir=DIR] [--size=512x512,3840x2160] [--repeats=5] [--breakdown]

    Operations, latency, peak memory and ms per megapixel of Dense-Unified alone and of
    the routed system, run in turn, with the machine's matrix-product rate of the same
    process; writes cost.json into the workdir and the report anew. With --breakdown
    instead: encoder, bottleneck, decoder and assembly of one picture as `restore` runs
    it, in breakdown.json.

    examples:
      wxjax bench --workdir=runs/moei
      wxjax bench --size=3840x2160 --repeats=9
    """
    from wxjax.evaluate import summary
    from wxjax.recipes import benchmark
    from wxjax.report import build

    config = settings.load(call)
    if call.flags.breakdown:
        from wxjax.evaluate import breakdown

        made = benchmark.parts(config, call.workdir, call.flags.size, call.flags.repeats)
        for size, found in made.items():
            print("\n".join(breakdown.lines(size, found)))
        return
    made = benchmark.run(config, call.workdir, call.flags.size, call.flags.repeats)
    for case in made["cases"]:
        latency = case["latency_ms"]
        width, height = case["size"][1], case["size"][0]
        print(
            f"{case['name']:8s} {width}x{height}: {latency['median']:.0f} ms "
            f"({latency['low']:.0f}-{latency['high']:.0f}, n={latency['n']}), "
            f"{case['ms_per_mp']:.0f} ms/MP, {case['flops_g']:.1f} GFLOP, "
            f"{100 * case['efficiency']:.0f} % of the matrix-product rate"
        )
    for name, ratio in made["overhead"].items():
        print(f"{name}: {ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})")
    path = call.workdir / "summary.json"
    if path.exists():
        files.write_json(path, summary.with_cost(files.read_json(path), made))
        build.build(call.workdir)


def report(call: Call) -> None:
    """wxjax report [--workdir=DIR]

    Writes report.md, figures/ and index.html from the JSON files of a workdir; runs no
    network.

    examples:
      wxjax report --workdir=runs/moei
    """
    from wxjax.report import build

    build.build(call.workdir)
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


def attribute(call: Call) -> None:
    """wxjax attribute IMAGE --window=y,x,size [--clear=FILE] [--steps=50] [--workdir=DIR] [--out=.]

    Shows which pixels of a photograph a restored window depends on: the Dehazing
    Attribution Map, gradients of the window's brightness along the way from the clear
    picture (--clear, else the restored one) to the photograph. Writes the map over the
    picture and a JSON record; the numbers printed say how much the window's brightness
    changed, what the map sums to (equal, where the steps suffice), how much of it lies
    outside the window and within how many pixels 90 % of it. Of a large photograph, the
    512 x 512 pixels around the window are looked at.

    examples:
      wxjax attribute photo.jpg --window=164,132,32
      wxjax attribute hazy.png --window=0,0,64 --clear=clear.png --steps=100 --out=results
    """
    from wxjax.recipes import attribute as attributing

    if len(call.arguments) != 1 or not call.flags.window:
        raise errors.InputError(
            "attribute: expected one picture and --window=y,x,size, for example "
            "`wxjax attribute photo.jpg --window=164,132,32`."
        )
    made = attributing.run(
        settings.load(call),
        call.workdir,
        call.arguments[0],
        pathlib.Path(call.flags.out or call.workdir / "attribution"),
        window=call.flags.window,
        steps=call.flags.steps,
        clear=call.flags.clear,
    )
    print(
        f"brightness of the window: {made['clear']:.2f} clear, {made['degraded']:.2f} degraded, "
        f"difference {made['difference']:.2f}; the map sums to {made['sum']:.2f} "
        f"({100 * made['residual']:.1f} % off)"
    )
    print(
        f"route {made['route']}; {100 * made['outside']:.0f} % of the map lies outside the "
        f"window, 90 % within {made['radius90']} px of it"
    )
    print(f"picture: {made['picture']}")


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "restore": restore,
    "plan": plan,
    "bench": bench,
    "report": report,
    "prepare": prepare,
    "convert": convert,
    "attribute": attribute,
}


def main(argv: list[str]) -> None:
    """Parses `argv`, turns the compilation cache on, and runs one command."""
    call = settings.parse(argv, COMMANDS)
    if call.command not in ("report", "prepare", "convert"):
        use_compilation_cache()
    COMMANDS[call.command](call)


def use_compilation_cache() -> None:
    """Compiled programs are kept between runs, where the user has not said otherwise."""
    import jax

    from wxjax import mesh

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(base) / "wxjax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    mesh.initialize()
