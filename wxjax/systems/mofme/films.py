"""MoFME for films, to everything outside this folder: the restored frame before is an input."""

from wxjax.systems import Late, System

SYSTEM = System(
    title="MoFME, video",
    make=Late("wxjax.systems.mofme.video:make"),
    train=Late("wxjax.systems.mofme.recipe:run"),
    evaluate=Late("wxjax.systems.mofme.recipe:measure"),
    report=Late("wxjax.systems.mofme.report:build"),
    results="video.json",
    restorer=Late("wxjax.recipes.weather:restorer"),
    film=Late("wxjax.systems.mofme.recipe:streamer"),
    bench=Late("wxjax.recipes.weather:bench"),
    attribute=Late("wxjax.recipes.weather:attribute"),
    flags={
        "evaluate": ("data", "tile-mode"),
        "restore": ("memory", "tile-mode", "reference", "scene-reset", "reset-every"),
        "bench": ("size", "repeats", "tile-mode"),
    },
    weights={
        "losses": Late("wxjax.losses.terms:NAMES"),
        "balance": Late("wxjax.systems.mofme.task:BALANCE"),
    },
)
