"""MoFME for pictures, to everything outside this folder."""

from wxjax.systems import Late, Published, System

SYSTEM = System(
    title="MoFME",
    make=Late("wxjax.systems.mofme.task:make"),
    train=Late("wxjax.recipes.single:run"),
    evaluate=Late("wxjax.recipes.weather:evaluate"),
    report=Late("wxjax.report.build:build"),
    restorer=Late("wxjax.recipes.weather:restorer"),
    plan=Late("wxjax.recipes.weather:plan_pictures"),
    bench=Late("wxjax.recipes.weather:bench"),
    attribute=Late("wxjax.recipes.weather:attribute"),
    import_state={
        "mofme": Published(
            read=Late("wxjax.systems.mofme.published:read"),
            network=Late("wxjax.systems.mofme.network:network"),
            config=Late("configs.mofme:imported"),
        )
    },
    flags={
        "evaluate": ("data", "degradation", "tile-mode"),
        "restore": ("memory", "tile-mode"),
        "plan": ("memory", "tile-mode"),
        "bench": ("size", "repeats", "tile-mode"),
    },
    weights={
        "losses": Late("wxjax.losses.terms:NAMES"),
        "balance": Late("wxjax.systems.mofme.task:BALANCE"),
    },
)
