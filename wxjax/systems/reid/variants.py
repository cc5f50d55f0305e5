"""Named changes of a re-identification config: the baselines, and the groups of the ablation.

`config.study.variants` takes names of variants and of groups. The first is the one that
controls, missing bands and `search` are about.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

from wxjax import errors

MATCHED = 0.03  # relative difference within which two costs count as equal


def _mlp(config: ConfigDict) -> None:
    """The MLP of the source document: all scales concatenated, one hidden layer of width d."""
    config.model.block = "mlp"
    config.model.mlp_hidden = config.model.features
    if config.model.fusion in ("hierarchical", "crossmodal"):
        config.model.fusion = "per_modality"


def _matched(config: ConfigDict, of: str = "parameters") -> None:
    width = width_of(config, of)
    _mlp(config)
    config.model.mlp_hidden = width


def _set(**values: Any) -> Callable[[ConfigDict], None]:
    def change(config):
        for key, value in values.items():
            *path, last = key.split("__")
            place = config
            for name in path:
                place = place[name]
            place[last] = value

    return change


def _document(config: ConfigDict) -> None:
    """The module as documented: 1-D windows, a mean, variance loss, no LayerScale."""
    config.model.windows.update(mode="seq1d", pool="mean")
    config.model.update(layer_scale=1.0, final=True)
    config.balance = ConfigDict({"var": 0.1})


VARIANTS: dict[str, Callable[[ConfigDict], None]] = {
    "moe": lambda config: None,
    "mlp": _mlp,
    "mlp_matched": _matched,
    "mlp_flops": lambda config: _matched(config, "flops"),
    "global": _set(model__block="global"),
    "average": _set(model__gate__kind="uniform"),
    "document": _document,
    "scales_2": _set(model__scales=(4, 16)),
    "scales_3": _set(model__scales=(4, 8, 16)),
    "scales_4": _set(model__scales=(4, 8, 16, 32)),
    "scales_5": _set(model__scales=(4, 8, 16, 32, 64)),
    "only_4": _set(model__scales=(4,)),
    "only_8": _set(model__scales=(8,)),
    "only_16": _set(model__scales=(16,)),
    "depth_1": _set(model__gate__depth=1),
    "depth_3": _set(model__gate__depth=3),
    "temperature_05": _set(model__gate__temperature=0.5),
    "temperature_2": _set(model__gate__temperature=2.0),
    "temperature_learned": _set(model__gate__schedule="learned"),
    "temperature_scheduled": _set(model__gate__schedule="scheduled"),
    "heads_mean": _set(model__gate__heads=4),
    "heads_chunk": _set(model__gate__heads=4, model__gate__heads_mode="chunk"),
    "gate_cls": _set(model__gate__input="cls"),
    "top_1": _set(model__gate__top_k=1, model__gate__input="cls"),
    "top_2": _set(model__gate__top_k=2, model__gate__input="cls"),
    "top_p": _set(
        model__gate__top_p=0.75, model__gate__least=2, model__gate__top_k=3, balance__entropy=1e-3
    ),  # fmt: skip
    "balance_none": _set(balance=ConfigDict({})),
    "balance_var": _set(balance=ConfigDict({"var": 0.01})),
    "balance_importance": _set(balance=ConfigDict({"importance": 0.005, "z": 1e-3})),
    "balance_load": _set(
        balance=ConfigDict({"importance": 0.005, "load": 0.005, "z": 1e-3}),
        model__gate__top_k=2,
        model__gate__input="cls",
    ),  # fmt: skip
    "balance_switch": _set(
        balance=ConfigDict({"switch": 0.01, "z": 1e-3}),
        model__gate__top_k=1,
        model__gate__input="cls",
    ),  # fmt: skip
    "balance_bias": _set(
        balance=ConfigDict({"z": 1e-3}),
        model__gate__top_k=1,
        model__gate__input="cls",
        model__gate__bias=True,
    ),  # fmt: skip
    "per_modality": _set(model__fusion="per_modality"),
    "hierarchical": _set(model__fusion="hierarchical"),
    "crossmodal": _set(model__fusion="crossmodal", model__gate__top_k=4, model__gate__input="cls"),
    "hidden_05": _set(model__experts__ratio=0.5),
    "hidden_1": _set(model__experts__ratio=1.0),
    "hidden_4": _set(model__experts__ratio=4.0),
    "layers_1": _set(model__experts__layers=1),
    "layers_3": _set(model__experts__layers=3),
    "swiglu": _set(model__experts__kind="swiglu"),
    "no_residual": _set(model__experts__residual="none"),
    "slimmable": _set(model__experts__slimmable=True),
    "adaptive": _set(model__experts__slimmable=True, model__experts__adaptive=True),
    "pool_mean": _set(model__windows__pool="mean"),
    "pool_gem": _set(model__windows__pool="gem"),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "fusion": ("moe", "global", "mlp", "mlp_matched", "average", "document"),
    "experts": ("moe", "scales_2", "only_4", "only_8", "only_16"),
    "experts_fine": ("scales_2", "scales_3", "scales_4", "scales_5"),  # needs backbone=pyr4
    "gate_depth": ("moe", "depth_1", "depth_3"),
    "temperature": (
        "moe", "temperature_05", "temperature_2", "temperature_learned", "temperature_scheduled",
    ),
    "gate_heads": ("moe", "heads_mean", "heads_chunk"),
    "routing": ("moe", "gate_cls", "top_1", "top_2", "top_p"),
    "balance": (
        "moe", "balance_none", "balance_var", "balance_importance", "balance_load",
        "balance_switch", "balance_bias",
    ),
    "modality": ("moe", "per_modality", "hierarchical", "crossmodal"),
    "body": (
        "moe", "hidden_05", "hidden_1", "hidden_4", "layers_1", "layers_3", "swiglu",
        "no_residual", "slimmable", "adaptive",
    ),
    "pool": ("moe", "pool_mean", "pool_gem"),
}  # fmt: skip


def expand(names: Sequence[str]) -> list[str]:
    """Groups replaced by their variants, each once.

    Raises:
      InputError: for a name that is neither, or none at all.
    """
    found: list[str] = []
    for name in names:
        if name not in VARIANTS and name not in GROUPS:
            raise errors.unknown("config.study.variants", name, [*VARIANTS, *GROUPS])
        found += GROUPS.get(name, (name,))
    if not found:
        raise errors.bad("config.study.variants", tuple(names), "expected at least one")
    return list(dict.fromkeys(found))


def apply(config: ConfigDict, name: str) -> ConfigDict:
    """`config`, changed in place by the variant of that name."""
    with config.unlocked():
        VARIANTS[name](config)
    return config


def width_of(config: ConfigDict, of: str) -> int:
    """Hidden units of the MLP whose block costs what the mixture's block does.

    Parameters: P = w (E d + 1) + w d + d solved for w. Operations of one sample: two a
    weight of every expert that runs, and of the gate.
    """
    from wxjax.systems.reid.sizes import sizes_of

    sizes = sizes_of(config)
    d, e = sizes.features, sizes.per_band
    parts = block_cost(sizes)
    if of == "parameters":
        cost, per_unit, fixed = parts["parameters"], e * d + 1 + d, d
    else:
        cost, per_unit, fixed = parts["flops"], 2 * (e * d + d), 0
    return max(1, round((cost - fixed) / per_unit))


def block_cost(sizes: Any) -> dict[str, Any]:
    """Parameters of one band's experts, gate and last layer, and operations a sample.

    Windows are left out: the MLPs look through the same ones.
    """
    from wxjax.systems.reid import experts

    d, e, body, gating = sizes.features, sizes.per_band, sizes.experts, sizes.gate
    if sizes.block == "mlp":
        w = sizes.mlp_hidden
        return {"parameters": w * (e * d + 1) + w * d + d, "flops": 2 * (w * e * d + w * d)}
    weights, total = [], 0
    for hidden in experts.widths(body, d, e):
        if body.kind == "swiglu":
            kernels, rest = 3 * d * hidden, 2 * hidden + d
        else:
            inner = [d, *[hidden] * (body.layers - 1), d]
            kernels = sum(a * b for a, b in zip(inner, inner[1:], strict=False))
            rest = 3 * sum(inner[1:])
        if body.residual == "linear":
            kernels, rest = kernels + d * d, rest + d
        weights.append(kernels)
        total += kernels + rest
    if gating.kind == "learned":
        c = d if gating.input == "cls" else e * d
        hidden = c // 2
        inner = [c, *[hidden] * (gating.depth - 1), e * gating.heads]
        kernels = sum(a * b for a, b in zip(inner, inner[1:], strict=False))
        total += kernels + sum(inner[1:]) + 2 * hidden * (gating.depth - 1)
        gate = kernels
    else:
        gate = 0
    share = gating.kept(e) / e
    final = d * d if sizes.final else 0
    total += final + (3 * d if sizes.final else 0)
    flops = 2 * (share * sum(weights) + gate + final)
    return {"parameters": total, "flops": flops}


def twins(config: ConfigDict) -> bool:
    """Whether one MLP matches parameters and operations both, to within 3 %."""
    a, b = width_of(config, "parameters"), width_of(config, "flops")
    return abs(a - b) <= max(1, MATCHED * a)
