"""Time of day to everything outside this folder: one view at any hour."""

from wxjax.systems import Late, System
from wxjax.systems.tod import commands

SYSTEM = System(
    title="Time of day",
    make=Late("wxjax.systems.tod.task:make"),
    train=Late("wxjax.systems.tod.recipe:run"),
    evaluate=commands.evaluate,
    report=Late("wxjax.systems.tod.report:build"),
    results="daytime.json",
    commands={"render": commands.RENDER, "bake": commands.BAKE},
)
