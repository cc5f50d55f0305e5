"""What a trained model does, in numbers: evaluate, bench, attribute."""

import pathlib

from wxjax import errors, settings, systems
from wxjax.command import DATA, OUT, TILE_MODE, WORKDIR, Call, Command, Flag
from wxjax.task import DEGRADATIONS


def evaluate(call: Call) -> None:
    """Measures a trained model, and writes rows, a summary with intervals, and a page. Of a
    moei run: the input, Dense-Unified, each expert, the router's choice and the Oracle.
    Without --data, on the test split of the run's own data.

    examples:
      wxjax evaluate --workdir=runs/moei
      wxjax evaluate --data=pairs --degradation=rain --out=results/rain
      wxjax evaluate --data=meta.jsonl --config.evaluate.protocol=restormer-y
    """
    if call.arguments:
        raise errors.InputError(f"evaluate: takes no {call.arguments[0]!r}: name --data=DIR.")
    config = settings.load(call)
    if call.flags.out and not call.flags.data:
        raise errors.InputError("evaluate: --out needs --data; a run's own rows stay with it.")
    if call.flags.degradation and not call.flags.data:
        raise errors.InputError("evaluate: --degradation needs --data: a run's own data says it.")
    made = systems.load(config.system).evaluate(
        config,
        call.workdir,
        systems.EvaluateOptions(
            data=call.flags.data,
            out=pathlib.Path(call.flags.out) if call.flags.out else None,
            degradation=call.flags.degradation,
        ),
    )
    for line in made.lines:
        print(line)
    print(f"report: {made.out / 'index.html'}")


DEGRADATION = Flag(
    "degradation", "of --data that does not say it itself", choices=DEGRADATIONS, part=True
)
EVALUATE = Command(
    evaluate, "measure a trained model on your pairs", "training",
    flags=(DATA, OUT._replace(help="where rows and report of --data go"), DEGRADATION, TILE_MODE,
           WORKDIR), config=True,
)  # fmt: skip


def bench(call: Call) -> None:
    """Operations, latency, peak memory and ms per megapixel, with the machine's
    matrix-product rate of the same process; writes them into the workdir, and the report
    anew. Of a moei run, Dense-Unified alone and the routed system are run in turn. With
    --breakdown instead: encoder, bottleneck, decoder and assembly of one picture as restore
    runs it, in breakdown.json.

    examples:
      wxjax bench --workdir=runs/moei
      wxjax bench --size=3840x2160 --repeats=9
    """
    if call.arguments:
        raise errors.InputError(f"bench: takes no {call.arguments[0]!r}: name --size=WxH.")
    config = settings.load(call)
    measure = systems.part(config.system, "bench", "cannot be benchmarked")
    options = systems.BenchOptions(call.flags.size, call.flags.repeats, call.flags.breakdown)
    print("\n".join(measure(config, call.workdir, options)))


BENCH = Command(
    bench, "time, memory and operations of a trained model", "training",
    flags=(
        Flag("size", "width x height of pictures", list, ["512x512", "3840x2160"], "WxH,...",
             part=True),
        Flag("repeats", "measured runs per case (default 5)", int, 5, least=1, part=True),
        Flag("breakdown", "time and work part by part", bool, False, part=True),
        TILE_MODE, WORKDIR,
    ), config=True,
)  # fmt: skip


def attribute(call: Call) -> None:
    """Shows which pixels of a photograph a restored window depends on: the Dehazing
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
    if len(call.arguments) != 1 or not call.flags.window:
        raise errors.InputError(
            "attribute: expected one picture and --window=y,x,size, for example "
            "`wxjax attribute photo.jpg --window=164,132,32`."
        )
    config = settings.load(call)
    explain = systems.part(config.system, "attribute", "has no attribution maps")
    options = systems.AttributeOptions(
        file=call.arguments[0],
        window=call.flags.window,
        out=pathlib.Path(call.flags.out or call.workdir / "attribution"),
        steps=call.flags.steps,
        clear=call.flags.clear,
    )
    print("\n".join(explain(config, call.workdir, options)))


ATTRIBUTE = Command(
    attribute, "which pixels of a photograph a restored window depends on", "pictures",
    arguments="IMAGE",
    flags=(
        Flag("window", "pixels asked about", value="Y,X,SIZE"),
        Flag("clear", "the clear picture of the path (default the restored one)", value="FILE"),
        Flag("steps", "gradients along the path (default 50)", int, 50, least=1),
        OUT, TILE_MODE, WORKDIR,
    ), config=True,
)  # fmt: skip
