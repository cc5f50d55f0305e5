"""The fusion block: a token grid and its global vector in, one vector and gate weights out.

    F_s = pooled windows of scale s;  y = sum_e g_e E_e(F_s(e));  z = cls + scale * y

It knows nothing of modalities or of identities. Expert e sees scale `e mod scales`: with
`replicas` there are several experts a scale.

Axes: n rows, h w grid, d features, e experts, g gate heads.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.nn import executors, expert_kinds
from wxjax.ops.dense import gelu
from wxjax.systems.reid import experts, gate, windows
from wxjax.systems.reid.experts import Body
from wxjax.systems.reid.gate import Gating, Router
from wxjax.systems.reid.windows import Windows

KINDS = ("moe", "mlp", "global")
EXECUTORS = ("dense", "capacity", *executors.TOKEN_LEVEL)


class Bank(nn.Module):
    """The parameters of windows and experts, and the ways to run them."""

    scales: Sequence[int]
    replicas: int
    windows: Windows
    body: Body | None
    features: int
    count: int = 0  # experts, where they are not one a scale and replica

    @property
    def experts(self) -> int:
        return self.count or len(self.scales) * self.replicas

    def setup(self):
        for scale in self.scales:
            start = lambda key, s=scale: windows.init(key, self.windows, s, self.features)
            setattr(self, f"scale{scale}", self.param(f"scale{scale}", start))
        if self.body is not None:
            hidden = max(experts.widths(self.body, self.features, self.experts))
            one = lambda key: experts.init(key, self.body, self.features, hidden)
            many = lambda key: jax.vmap(one)(jax.random.split(key, self.experts))
            self.expert = self.param("experts", many)

    def look(self, grid: Float[Array, "n h w d"]) -> tuple[Float[Array, "n s d"], dict]:
        """F of every scale, and the windows' shares by scale."""
        found = {
            scale: windows.apply(getattr(self, f"scale{scale}"), self.windows, scale, grid)
            for scale in self.scales
        }
        return (
            jnp.stack([vector for vector, _ in found.values()], 1),
            {f"scale{scale}": share for scale, (_, share) in found.items()},
        )

    def views(self, seen: Float[Array, "n s d"]) -> Float[Array, "n e d"]:
        """What each expert sees: its scale."""
        return jnp.tile(seen, (1, self.replicas, 1))

    def tree(self, rows: int, train: bool, share: Any = 1.0) -> dict[str, Any]:
        """The experts' parameters with the masks of this call."""
        tree = dict(self.expert)
        mask = experts.masks(self.body, self.features, self.experts, share)
        if mask is not None:
            tree["mask"] = mask
        if train and self.body.dropout > 0:
            width = max(self.features, *experts.widths(self.body, self.features, self.experts))
            key = self.make_rng("dropout")
            tree["drop"] = experts.dropped(key, self.body, self.experts, rows, width)
        return tree

    def outputs(self, views: Float[Array, "n e d"], train: bool = False, share: Any = 1.0):
        """What every expert makes of its view, `[n e d]`."""
        tree = self.tree(views.shape[0], train, share)
        return executors.every(experts.make(self.body), tree, views).swapaxes(0, 1)

    def run(self, views, weights: Float[Array, "n e"], slots: int, executor: str):
        """The mixture by an executor that skips what is not kept, and the share it dropped."""
        choice = gate.choice(weights, slots)
        tree, expert = self.tree(views.shape[0], False), experts.make(self.body)
        if executor == "capacity":
            return executors.capacity(expert, tree, views, choice)
        return executors.run(executor, expert, tree, views, choice), jnp.float32(0)

    def early(self, grid: Float[Array, "n h w d"], weights: Float[Array, "n e"]):
        """The mixture where even the windows of experts not kept are never looked at."""
        tree, expert = self.tree(grid.shape[0], False), experts.make(self.body)
        total = jnp.zeros((grid.shape[0], self.features))
        for e in range(self.experts):
            scale = self.scales[e % len(self.scales)]
            mine, one = getattr(self, f"scale{scale}"), jax.tree.map(lambda x, e=e: x[e], tree)

            def whole(rows, mine=mine, one=one, scale=scale):
                seen, _ = windows.apply(mine, self.windows, scale, rows)
                return expert.apply(one, seen, expert_kinds.ONE)

            total = total + executors.where_kept(whole, grid, weights[:, e])
        return total


def mix(weights: Float[Array, "n g e"], outputs: Float[Array, "n e d"]) -> Float[Array, "n d"]:
    """sum_e weights[n, g, e] outputs[n, e, :], each head g over its own part of the features."""
    n, e, d = outputs.shape
    parts = outputs.reshape(n, e, weights.shape[1], -1)
    return jnp.einsum("nge,negc->ngc", weights, parts).reshape(n, d)


class Fusion(nn.Module):
    """The block for rows of one kind, such as all pictures of one modality.

    Attributes:
      kind: 'moe'; 'mlp' maps the concatenated scales through one hidden layer of
        `mlp_hidden`; 'global' has no windows at all.
      final: a last Linear, LayerNorm, GELU, dropout on the mixture.
      scale: start of the learned factor on y (LayerScale).
      residual: whether the result is cls + scale * y, or y alone.
    """

    kind: str
    scales: Sequence[int]
    replicas: int
    windows: Windows
    body: Body
    gating: Gating
    features: int
    mlp_hidden: int = 0
    final: bool = False
    scale: float = 0.1
    executor: str = "dense"
    residual: bool = True

    @nn.compact
    def __call__(
        self,
        cls: Float[Array, "n d"],
        grid: Float[Array, "n h w d"],
        train: bool = False,
        progress: Any = 1.0,
        weights: Float[Array, "n g e"] | None = None,
        share: Any = 1.0,
    ) -> dict[str, Any]:
        """Args: weights: used in place of the gate's; share: of the experts' width in use.

        Returns: `feature [n d]`, `mixture [n d]`, and for experts `gates`, `probs`, `logits`
        `[n g e]`, `shares` of the windows by scale, `outputs [n e d]`, `dropped [n]`.
        """
        if self.kind == "global":
            return {"feature": cls, "mixture": jnp.zeros_like(cls)}
        body = self.body if self.kind == "moe" else None
        bank = Bank(self.scales, self.replicas, self.windows, body, self.features, name="bank")
        if self.kind == "mlp":
            seen, shares = bank.look(grid)
            y = self._mlp(seen.reshape(seen.shape[0], -1))
            return self._joined(cls, y, train) | {"shares": shares}
        k = bank.experts
        sparse = self.gating.sparse(k) and not train and self.executor != "dense"
        chunks = self.gating.heads > 1 and self.gating.heads_mode == "chunk"
        router = Router(self.gating, k, name="gate")
        if sparse and self.gating.input == "cls" and not chunks and self.executor != "capacity":
            said = router(cls, train, progress)
            given = said.weights if weights is None else weights
            y = bank.early(grid, given[:, 0])
            return self._joined(cls, y, train) | self._said(said, given)
        seen, shares = bank.look(grid)
        views = bank.views(seen)
        about = cls if self.gating.input == "cls" else seen.reshape(seen.shape[0], -1)
        said = router(about, train, progress)
        given = said.weights if weights is None else weights
        if sparse and not chunks:
            y, dropped = bank.run(views, given[:, 0], self.gating.kept(k), self.executor)
            return self._joined(cls, y, train) | self._said(said, given, shares, dropped)
        outputs = bank.outputs(views, train, share)
        y = mix(given, outputs)
        found = self._joined(cls, y, train) | self._said(said, given, shares)
        return {**found, "outputs": outputs}

    def _mlp(self, x):
        x = gelu(nn.Dense(self.mlp_hidden, name="mlp_in")(x))
        return nn.Dense(self.features, name="mlp_out")(x)

    def _joined(self, cls, y, train):
        if self.final:
            y = gelu(nn.LayerNorm(name="final_norm")(nn.Dense(self.features, name="final")(y)))
            y = nn.Dropout(self.body.dropout, deterministic=not train)(y)
        if not self.residual:
            return {"feature": y, "mixture": y}
        factor = self.param("scale", lambda key: jnp.full(self.features, self.scale))
        return {"feature": cls + factor * y, "mixture": y}

    def _said(self, said, given, shares=None, dropped=None):
        found = {"gates": given, "probs": said.probs, "logits": said.logits}
        found |= {"shares": shares} if shares is not None else {}
        rows = given.shape[:1]
        return found | ({"dropped": jnp.broadcast_to(dropped, rows)} if dropped is not None else {})


def check(kind: str, executor: str) -> None:
    if kind not in KINDS:
        raise errors.unknown("config.model.block", kind, KINDS)
    if executor not in EXECUTORS:
        raise errors.unknown("config.model.executor", executor, EXECUTORS)
