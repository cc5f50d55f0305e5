"""Re-identification to everything outside this folder."""

from wxjax.systems import Late, System
from wxjax.systems.reid import commands

SYSTEM = System(
    title="Re-identification",
    make=Late("wxjax.systems.reid.task:make"),
    train=Late("wxjax.systems.reid.recipe:run"),
    evaluate=commands.evaluate,
    report=Late("wxjax.systems.reid.report:build"),
    results="retrieval.json",
    bench=commands.bench,
    flags={"evaluate": ("data",), "bench": ("repeats",)},
    free=("evaluate", "tiles", "study", "federate", "shrink", "search"),
    lists=("model.experts.ratio",),
    weights={"balance": Late("wxjax.systems.reid.task:BALANCE")},
    commands={
        "search": commands.SEARCH,
        "explain": commands.EXPLAIN,
        "study": commands.STUDY,
    },
)
