"""One view at any hour, as files: render, bake."""

import pathlib

from wxjax import errors, settings
from wxjax.settings import Call


def checked(call: Call):
    """The config of a time-of-day run; InputError for another kind."""
    config = settings.load(call)
    if config.recipe != "daytime":
        rule = "expected the run of configs/tod.py: only a fixed view has hours"
        raise errors.bad("workdir", str(call.workdir), rule)
    return config


def render(call: Call) -> None:
    """wxjax render --time=HOUR|LIST|FIRST:LAST:STEP --out=FILE|DIR [--workdir=DIR]
    [--baked] [--rate=12] [--pixels=yx.csv]

    Shows a trained view at any hour: one picture, a folder of them, or a film of the day
    (.gif or .mp4 by the name of --out). --baked takes the basis that bake wrote, which is
    faster. --pixels renders only the pixels that a table of y,x lists, into a table.

    examples:
      wxjax render --time=18.25 --out=evening.png --workdir=runs/tod
      wxjax render --time=0:23.5:0.5 --out=hours --workdir=runs/tod
      wxjax render --time=0:23.9:0.1 --out=day.mp4 --rate=24 --workdir=runs/tod
      wxjax render --time=7 --pixels=yx.csv --out=colours.csv --workdir=runs/tod
    """
    from wxjax.recipes import rendering

    config = checked(call)
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


def bake(call: Call) -> None:
    """wxjax bake [--workdir=DIR] [--config.model.rank=8]

    Distils a trained view to a few pictures times curves: basis.npz, which renders an hour
    in a few operations a value, and day.html, a page with an hour slider that does so in
    the browser. It takes the bytes of `rank` pictures of 8 bits, and shares the bits out
    among more pictures where that shows more.

    examples:
      wxjax bake --workdir=runs/tod
    """
    from wxjax.recipes import rendering

    made = rendering.bake(checked(call), call.workdir)
    print(
        f"{call.workdir / 'basis.npz'}: {made['rank']} pictures, {made['bytes'] / 1e6:.2f} MB, "
        f"{made['psnr']:.1f} dB of {made['hours']} hours as rendered"
    )
    print(f"page: {call.workdir / 'day.html'}")
