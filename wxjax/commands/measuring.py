"""What a trained model does, in numbers: evaluate, bench, attribute."""

import pathlib

import numpy as np

from wxjax import errors, files, settings
from wxjax.commands import retrieving
from wxjax.settings import Call
from wxjax.task import DEGRADATIONS


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
    if config.recipe == "infrared":
        from wxjax.commands import enlarging

        enlarging.evaluate(config, call)
        return
    if call.flags.degradation and call.flags.degradation not in DEGRADATIONS:
        raise errors.unknown("--degradation", call.flags.degradation, DEGRADATIONS)
    if config.recipe == "video":
        evaluate_clips(config, call)
        return
    if config.recipe == "daytime":
        from wxjax.recipes import daytime

        daytime.test(config, call.workdir)
        print(f"report: {call.workdir / 'index.html'}")
        return
    if config.recipe == "retrieval":
        retrieving.evaluate_shots(config, call)
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
    if config.recipe == "retrieval":
        retrieving.bench_shots(config, call)
        return
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
    from wxjax.recipes import pictures

    if len(call.arguments) != 1 or not call.flags.window:
        raise errors.InputError(
            "attribute: expected one picture and --window=y,x,size, for example "
            "`wxjax attribute photo.jpg --window=164,132,32`."
        )
    config = settings.load(call)
    pictures.allow(config, None, None)
    made = attributing.run(
        config,
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
