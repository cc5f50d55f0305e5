"""Infrared super-resolution to everything outside this folder."""

from wxjax.systems import Late, Published, System
from wxjax.systems.irsr import commands

RESSHIFT = Published(
    read=Late("wxjax.systems.irsr.resshift:read"),
    network=Late("wxjax.systems.irsr.unet:network"),
    config=Late("configs.irsr:imported"),
)
SYSTEM = System(
    title="infrared",
    make=Late("wxjax.systems.irsr.task:make"),
    train=Late("wxjax.systems.irsr.recipe:run"),
    evaluate=commands.evaluate,
    report=Late("wxjax.systems.irsr.report:build"),
    results="frames.json",
    restorer=Late("wxjax.systems.irsr.recipe:restorer"),
    plan=Late("wxjax.systems.irsr.recipe:plan_pictures"),
    bench=Late("wxjax.recipes.weather:bench"),
    import_state={"resshift": RESSHIFT, "difiisr": RESSHIFT},
    flags={
        "evaluate": ("data",),
        "restore": ("memory", "tile-mode"),
        "plan": ("memory", "tile-mode"),
        "bench": ("size", "repeats", "tile-mode"),
    },
    weights={"losses.image": Late("wxjax.losses.terms:NAMES")},
    commands={"compare": commands.COMPARE, "shrink": commands.SHRINK},
)
