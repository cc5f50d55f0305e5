"""The weather model, moei's network of plain convolutions whose experts are trained at once."""

from wxjax.systems import Late, System

SYSTEM = System(
    title="MoE-I",
    make=Late("wxjax.systems.moei.task:make"),
    train=Late("wxjax.recipes.weather:run"),
    evaluate=Late("wxjax.recipes.restoration:evaluate"),
    report=Late("wxjax.report.build:build"),
    restorer=Late("wxjax.recipes.restoration:restorer"),
    plan=Late("wxjax.recipes.restoration:plan_pictures"),
    bench=Late("wxjax.recipes.restoration:bench"),
    attribute=Late("wxjax.recipes.restoration:attribute"),
    flags={
        "evaluate": ("data", "degradation", "tile-mode"),
        "restore": ("memory", "devices", "tile-mode"),
        "plan": ("memory", "devices", "tile-mode"),
        "bench": ("size", "repeats", "breakdown", "tile-mode"),
    },
    weights={"joint.losses": Late("wxjax.losses.terms:NAMES")},
)
