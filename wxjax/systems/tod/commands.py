"""One view at any hour, as files: render, bake; and evaluate of such a run."""

import pathlib

from ml_collections import ConfigDict

from wxjax import errors, settings
from wxjax.command import OUT, WORKDIR, Call, Command, Flag
from wxjax.systems import Evaluated, EvaluateOptions

GROUP = "one view at any hour (tod)"


def evaluate(config: ConfigDict, workdir: pathlib.Path, options: EvaluateOptions) -> Evaluated:
    """The hours that the run's own data has; those of no other view can be compared."""
    from wxjax.systems.tod import recipe

    recipe.test(config, workdir)
    return Evaluated(workdir)


def render(call: Call) -> None:
    """Shows a trained view at any hour: one picture, a folder of them, or a film of the day
    (.gif or .mp4 by the name of --out). --baked takes the basis that bake wrote, which is
    faster. --pixels renders only the pixels that a table of y,x lists, into a table.

    examples:
      wxjax render --time=18.25 --out=evening.png --workdir=runs/tod
      wxjax render --time=0:23.5:0.5 --out=hours --workdir=runs/tod
      wxjax render --time=0:23.9:0.1 --out=day.mp4 --rate=24 --workdir=runs/tod
      wxjax render --time=7 --pixels=yx.csv --out=colours.csv --workdir=runs/tod
    """
    from wxjax.systems.tod import rendering

    config = settings.run_of(call, "tod")
    if not call.flags.time or not call.flags.out:
        raise errors.InputError(
            "render: expected --time and --out, for example --time=18.25 --out=evening.png."
        )
    hours = rendering.moments(call.flags.time, config.data.period)
    out = pathlib.Path(call.flags.out)
    if call.flags.pixels:
        if len(hours) != 1:
            raise errors.bad("--time", call.flags.time, "expected one hour with --pixels")
        table = pathlib.Path(call.flags.pixels)
        count = rendering.pixels(config, call.workdir, hours[0], table, out)
        print(f"{out}: {count} pixels")
        return
    options = dict(baked=call.flags.baked, rate=call.flags.rate)
    made = rendering.render(config, call.workdir, hours, out, **options)
    print(f"{made[0] if len(made) == 1 else out}: {len(hours)} hours")


RENDER = Command(
    render, "a fixed view at any hour: pictures or a film of the day", GROUP,
    flags=(
        Flag("time", "hours to render: 18.25, 6,7.5 or 0:23.5:0.5", value="HOUR,..."),
        OUT._replace(help="a picture, a folder, a film or a table", value="FILE|DIR"),
        Flag("baked", "from the baked basis, which is faster", bool, False),
        Flag("rate", "frames per second of a film (default 12)", float, 12.0),
        Flag("pixels", "a table of y,x: render only these", value="FILE.csv"),
        WORKDIR,
    ), config=True,
)  # fmt: skip


def bake(call: Call) -> None:
    """Distils a trained view to a few pictures times curves: basis.npz, which renders an hour
    in a few operations a value, and day.html, a page with an hour slider that does so in
    the browser. It takes the bytes of `rank` pictures of 8 bits, and shares the bits out
    among more pictures where that shows more.

    examples:
      wxjax bake --workdir=runs/tod
    """
    from wxjax.systems.tod import rendering

    made = rendering.bake(settings.run_of(call, "tod"), call.workdir)
    print(
        f"{call.workdir / 'basis.npz'}: {made['rank']} pictures, {made['bytes'] / 1e6:.2f} MB, "
        f"{made['psnr']:.1f} dB of {made['hours']} hours as rendered"
    )
    print(f"page: {call.workdir / 'day.html'}")


BAKE = Command(
    bake, "a fixed view as a basis and a page with an hour slider", GROUP,
    flags=(WORKDIR,), config=True,
)  # fmt: skip
