"""Pictures of one shot in several bands to one feature: backbone, fusion, neck.

fusion        feature                                        gates
shared        one block for all bands, features side by side    m heads of e
per_modality  a block for each band                             m heads of e
hierarchical  as per_modality, and sum_m g1[m] y_m beside them  g1[m] g2[m, e], one head
crossmodal    experts of every band and shared ones, one gate   one head of m e + shared

Axes: b shots, m bands, h w pixels, d features, g gate heads, k experts, i identities.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wxjax.systems.reid import fusion
from wxjax.systems.reid.backbone import Backbone
from wxjax.systems.reid.experts import WIDTHS
from wxjax.systems.reid.fusion import Bank, Fusion
from wxjax.systems.reid.gate import Gating, Router
from wxjax.systems.reid.neck import MaskedBatchNorm
from wxjax.systems.reid.sizes import Sizes


class Network(nn.Module):
    """See the module's table."""

    sizes: Sizes

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b m h w 3"],
        present: Bool[Array, "b m"],
        train: bool = False,
        progress: Any = 1.0,
        gates: Float[Array, "b g k"] | None = None,
        share: Any = 1.0,
        camera: Array | None = None,
    ) -> dict[str, Any]:
        """Args: gates: used in place of the network's own; share: of the experts' width.

        Returns:
          `feature [b f]` of the triplet loss, `neck [b f]` of retrieval, both 0 where a band is
          absent; `bands [b m d]` and `necks [b m d]` alike; in training `scores [b i]` and
          `band_scores [b m i]`; for experts `gates`, `probs`, `logits` `[b g k]`; `shares`;
          for adaptive ones `widths [b 3]`, logits of `WIDTHS`.
        """
        s = self.sizes
        b, m = image.shape[:2]
        here = present.astype(jnp.float32)
        cls, grid = self._look(image)
        if s.cameras and camera is not None:
            table = self.param("camera", nn.initializers.normal(0.02), (s.cameras, s.features))
            cls = cls + table[jnp.clip(camera, 0, s.cameras - 1)][:, None]
        # What is absent has no say, whatever its picture holds.
        cls, grid = cls * here[..., None], grid * here[..., None, None, None]
        fuse = {
            "shared": self._shared,
            "per_modality": self._per_modality,
            "hierarchical": self._hierarchical,
            "crossmodal": self._crossmodal,
        }[s.fusion]
        said = fuse(cls, grid, here, train, progress, gates, share)
        bands = said.pop("bands") * here[..., None]
        parts = [bands.reshape(b, -1)]
        known = [jnp.repeat(here, s.features, 1)]
        if "joint" in said:
            parts.append(said.pop("joint"))
            known.append(jnp.ones((b, s.features)))
        if s.experts.adaptive and s.block == "moe":
            mean = cls.sum(1) / jnp.maximum(here.sum(1), 1)[:, None]
            head = nn.Dense(len(WIDTHS), name="complexity")
            said["widths"] = head(jax.lax.stop_gradient(mean))
        feature, known = jnp.concatenate(parts, -1), jnp.concatenate(known, -1)
        found = self._necks(feature, known, bands, here, train)
        return {**said, **found, "feature": feature, "bands": bands}

    def _look(self, image):
        s = self.sizes
        b, m = image.shape[:2]
        if s.shared_stem:
            cls, grid = Backbone(s.backbone, s.features, name="backbone")(
                image.reshape(b * m, *image.shape[2:])
            )
            return cls.reshape(b, m, -1), grid.reshape(b, m, *grid.shape[1:])
        each = [
            Backbone(s.backbone, s.features, name=f"backbone_{band}")(image[:, i])
            for i, band in enumerate(s.modalities)
        ]
        return tuple(jnp.stack(parts, 1) for parts in zip(*each, strict=True))

    def _block(self, wrap=lambda module: module, name="fusion", residual=True):
        s = self.sizes
        return wrap(Fusion)(
            s.block, s.scales, s.replicas, s.windows, s.experts, s.gate, s.features,
            s.mlp_hidden, s.final, s.layer_scale, s.executor, residual, name=name,
        )  # fmt: skip

    def _shared(self, cls, grid, here, train, progress, gates, share):
        b, m, d = cls.shape
        rows = lambda x: x.reshape(b * m, *x.shape[2:])
        given = None if gates is None else gates.reshape(b * m, -1, gates.shape[-1])
        said = self._block()(rows(cls), rows(grid), train, progress, given, share)
        return _unfolded(
            jax.tree.map(lambda x: x.reshape(b, m, *x.shape[1:]) if x.ndim else x, said)
        )

    def _each(self, cls, grid, train, progress, given, share):
        """A block with parameters of its own for every band; everything comes back `[b m ...]`."""

        def wrap(module):
            return nn.vmap(
                module, variable_axes={"params": 0, "router": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(1, 1, None, None, None if given is None else 1, None), out_axes=1,
            )  # fmt: skip

        return self._block(wrap)(cls, grid, train, progress, given, share)

    def _per_modality(self, cls, grid, here, train, progress, gates, share):
        b, m, _ = cls.shape
        given = None if gates is None else gates.reshape(b, m, -1, gates.shape[-1])
        return _unfolded(self._each(cls, grid, train, progress, given, share))

    def _hierarchical(self, cls, grid, here, train, progress, gates, share):
        b, m, d = cls.shape
        s = self.sizes
        e = s.per_band
        coarse = Router(_coarse(s.gate), m, name="coarse")
        said = coarse(cls.reshape(b, -1), train, progress, here > 0)
        first, fine = said.weights[:, 0], None
        if gates is not None:
            joint = gates.reshape(b, m, e)
            first = joint.sum(-1)
            fine = jnp.where(
                first[..., None] > 0, joint / jnp.maximum(first, 1e-9)[..., None], 1 / e
            )
            fine = fine[:, :, None]
        found = self._each(cls, grid, train, progress, fine, share)
        joint = first[..., None] * found["gates"][:, :, 0]
        probs = said.probs[:, 0, :, None] * found["probs"][:, :, 0]
        y = jnp.einsum("bm,bmd->bd", first, found["mixture"])
        flat = lambda x: x.reshape(b, 1, m * e)
        return {
            "bands": found["feature"],
            "joint": y,
            "gates": flat(joint),
            "probs": flat(probs),
            "logits": flat(jnp.log(jnp.maximum(probs, 1e-9))),
            **{name: found[name] for name in ("shares", "outputs") if name in found},
        }

    def _crossmodal(self, cls, grid, here, train, progress, gates, share):
        s = self.sizes
        b, m, d = cls.shape
        mine = s.per_band

        def wrap(module):
            return nn.vmap(
                module, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=1,
                out_axes=1, methods=["look"],
            )  # fmt: skip

        looking = wrap(Bank)(s.scales, s.replicas, s.windows, None, d, name="windows")
        seen, shares = looking.look(grid)  # [b m s d]
        views = jnp.tile(seen, (1, 1, s.replicas, 1)) * here[..., None, None]
        mean = views.sum((1, 2)) / (mine * jnp.maximum(here.sum(1), 1))[:, None]
        pool = jnp.concatenate(
            [views.reshape(b, m * mine, d), jnp.repeat(mean[:, None], s.shared_experts, 1)], 1
        )
        k = s.pool
        allowed = jnp.concatenate(
            [jnp.repeat(here > 0, mine, 1), jnp.ones((b, s.shared_experts), bool)], 1
        )
        about = cls if s.gate.input == "cls" else views
        said = Router(s.gate, k, name="gate")(about.reshape(b, -1), train, progress, allowed)
        given = said.weights if gates is None else gates
        bank = Bank((), 1, s.windows, s.experts, d, k, name="bank")
        found = {"gates": given, "probs": said.probs, "logits": said.logits, "shares": shares}
        if s.gate.sparse(k) and not train and s.executor != "dense":
            y, found["dropped"] = bank.run(pool, given[:, 0], s.gate.kept(k), s.executor)
        else:
            found["outputs"] = bank.outputs(pool, train, share)
            y = fusion.mix(given, found["outputs"])
        return {"bands": cls, "joint": y, **found}

    def _necks(self, feature, known, bands, here, train):
        """Norm without a learned shift, classifier without one (Luo et al., 2019)."""
        s = self.sizes
        neck = MaskedBatchNorm(name="neck")(feature, known > 0, train)
        necks = MaskedBatchNorm(name="band_necks")(bands, here[..., None] > 0, train)
        small = nn.initializers.normal(0.001)
        whole = nn.Dense(s.identities, use_bias=False, kernel_init=small, name="classifier")
        shape = (len(s.modalities), s.features, s.identities)
        each = self.param("band_classifiers", small, shape)
        return {
            "neck": neck,
            "necks": necks,
            "scores": whole(neck),
            "band_scores": jnp.einsum("bmd,mdi->bmi", necks, each),
        }


def _unfolded(said: dict[str, Any]) -> dict[str, Any]:
    """Gates `[b m g k]` as `[b m*g k]`."""
    found = {name: x for name, x in said.items() if name in ("shares", "dropped", "outputs")}
    found["bands"] = said["feature"]
    for name in ("gates", "probs", "logits"):
        if name in said:
            x = said[name]
            found[name] = x.reshape(x.shape[0], -1, x.shape[-1])
    return found


def _coarse(gating: Gating) -> Gating:
    """The gate over bands: as the fine one, but all bands are kept."""
    return gating._replace(top_k=0, top_p=1.0, least=1, heads=1, weights=(), bias=False,
                           kind="learned" if gating.kind == "learned" else "uniform")  # fmt: skip
