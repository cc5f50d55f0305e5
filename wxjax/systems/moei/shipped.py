"""The weather model that ships, to everything outside this folder: moei, trained jointly."""

from wxjax.systems import Late, System
from wxjax.systems.moei.system import SYSTEM as MOEI

SYSTEM: System = MOEI._replace(
    title="weather",
    train=Late("wxjax.systems.moei.training:run"),
    evaluate=Late("wxjax.systems.moei.training:evaluate"),
    bench=None,
    attribute=None,
    weights={"joint.losses": Late("wxjax.losses.terms:NAMES")},
)
