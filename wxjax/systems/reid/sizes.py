"""What a re-identification network is made of, from the config, checked."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from wxjax import errors
from wxjax.systems.reid import backbone, experts, fusion, gate, windows
from wxjax.systems.reid.experts import Body
from wxjax.systems.reid.gate import Gating
from wxjax.systems.reid.windows import Windows

FUSIONS = ("shared", "per_modality", "hierarchical", "crossmodal")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The network, as `config.model` and `config.data` say; hashable, compared by value."""

    modalities: tuple[str, ...] = ("rgb", "nir", "tir")
    size: tuple[int, int] = (128, 64)
    identities: int = 2
    cameras: int = 0  # of the side information, 0 for none
    backbone: str = "conv3"
    shared_stem: bool = False
    features: int = 128
    scales: tuple[int, ...] = (4, 8, 16)
    replicas: int = 1
    block: str = "moe"
    mlp_hidden: int = 0
    fusion: str = "shared"
    shared_experts: int = 1
    final: bool = False
    layer_scale: float = 0.1
    executor: str = "dense"
    windows: Windows = Windows()
    experts: Body = Body()
    gate: Gating = Gating()

    @property
    def grid(self) -> tuple[int, int]:
        return backbone.grid(self.backbone, self.size)

    @property
    def per_band(self) -> int:
        """Experts of one band."""
        return len(self.scales) * self.replicas

    @property
    def pool(self) -> int:
        """Experts one gate chooses from."""
        m = len(self.modalities)
        if self.fusion == "crossmodal":
            return m * self.per_band + self.shared_experts
        return self.per_band * (m if self.fusion == "hierarchical" else 1)

    def labels(self) -> list[str]:
        """Names of the pool's experts."""
        copies = [f" {chr(97 + r)}" if self.replicas > 1 else "" for r in range(self.replicas)]
        mine = [f"{s}x{s}{copy}" for copy in copies for s in self.scales]
        if self.fusion in ("shared", "per_modality"):
            return mine
        found = [f"{band} {name}" for band in self.modalities for name in mine]
        if self.fusion == "crossmodal":
            found += [f"shared {n + 1}" for n in range(self.shared_experts)]
        return found

    def heads(self) -> list[str]:
        """Names of the gates: bands, parts of the features, or one."""
        parts = self.gate.heads if self.gate.heads_mode == "chunk" else 1
        if self.fusion not in ("shared", "per_modality"):
            return ["joint"]
        return [
            band if parts == 1 else f"{band} {part + 1}"
            for band in self.modalities
            for part in range(parts)
        ]


def check(sizes: Sizes) -> None:
    """Raises InputError for a network that cannot be."""
    if sizes.fusion not in FUSIONS:
        raise errors.unknown("config.model.fusion", sizes.fusion, FUSIONS)
    fusion.check(sizes.block, sizes.executor)
    windows.check(sizes.windows, sizes.scales, sizes.grid)
    if sizes.replicas < 1:
        raise errors.bad("config.model.replicas", sizes.replicas, "expected at least 1")
    joint = sizes.fusion in ("hierarchical", "crossmodal")
    if joint and sizes.block != "moe":
        cure = "Try model.fusion='shared'."
        raise errors.bad("config.model.block", sizes.block, f"{sizes.fusion} fuses experts", cure)
    if joint and sizes.gate.heads > 1 and sizes.gate.heads_mode == "chunk":
        expected = f"{sizes.fusion} has one gate"
        raise errors.bad("config.model.gate.heads", sizes.gate.heads, expected)
    if sizes.block == "mlp" and sizes.mlp_hidden < 1:
        raise errors.bad("config.model.mlp_hidden", sizes.mlp_hidden, "expected at least 1")
    pool = sizes.pool if sizes.fusion == "crossmodal" else sizes.per_band
    experts.check(sizes.experts, pool)
    gate.check(sizes.gate, pool, sizes.features)


def sizes_of(config: Any) -> Sizes:
    """The network that a config describes; checked."""
    model, data = config.model.to_dict(), config.data
    plain = lambda value: tuple(value) if isinstance(value, list | Sequence) else value
    body, gating = model.pop("experts"), model.pop("gate")
    cut = model.pop("windows")
    body["ratio"] = plain(body["ratio"])
    gating["weights"] = tuple(gating.get("weights", ()))
    model["scales"] = tuple(model["scales"])
    known = {field.name for field in dataclasses.fields(Sizes)}
    sizes = Sizes(
        modalities=tuple(data.modalities),
        size=tuple(data.size),
        windows=Windows(**cut),
        experts=Body(**body),
        gate=Gating(**gating),
        **{name: value for name, value in model.items() if name in known},
    )
    check(sizes)
    return sizes
