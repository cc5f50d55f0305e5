"""DehazeXL, the backbone of moei as one network, to everything outside this folder."""

from wxjax.systems import Late, Published, System

SYSTEM = System(
    title="DehazeXL",
    make=Late("wxjax.systems.moei.task:make"),
    train=Late("wxjax.recipes.single:run"),
    evaluate=Late("wxjax.recipes.weather:evaluate"),
    report=Late("wxjax.report.build:build"),
    restorer=Late("wxjax.recipes.weather:restorer"),
    plan=Late("wxjax.recipes.weather:plan_pictures"),
    bench=Late("wxjax.recipes.weather:bench"),
    attribute=Late("wxjax.recipes.weather:attribute"),
    import_state={
        "dehazexl": Published(
            read=Late("wxjax.interop.dehazexl:read"),
            network=Late("wxjax.systems.moei.network:network"),
            config=Late("configs.dehazexl:imported"),
        )
    },
    flags={
        "evaluate": ("data", "degradation", "tile-mode"),
        "restore": ("memory", "devices", "tile-mode"),
        "plan": ("memory", "devices", "tile-mode"),
        "bench": ("size", "repeats", "breakdown", "tile-mode"),
    },
    weights={"losses.*": Late("wxjax.losses.terms:NAMES")},
)
