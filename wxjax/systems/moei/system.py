"""moei to everything outside this folder: a routed system of three experts."""

from wxjax.systems import Late, System

SYSTEM = System(
    title="MoE-I",
    make=Late("wxjax.systems.moei.task:make"),
    train=Late("wxjax.recipes.moei:run"),
    evaluate=Late("wxjax.recipes.weather:evaluate"),
    report=Late("wxjax.report.build:build"),
    restorer=Late("wxjax.recipes.weather:restorer"),
    plan=Late("wxjax.recipes.weather:plan_pictures"),
    bench=Late("wxjax.recipes.weather:bench"),
    attribute=Late("wxjax.recipes.weather:attribute"),
    flags={
        "evaluate": ("data", "degradation", "tile-mode"),
        "restore": ("memory", "devices", "tile-mode", "route", "strength"),
        "plan": ("memory", "devices", "tile-mode"),
        "bench": ("size", "repeats", "breakdown", "tile-mode"),
    },
    weights={
        "losses.*": Late("wxjax.losses.terms:NAMES"),
        "dense_losses.*": Late("wxjax.losses.terms:NAMES"),
    },
)
