"""The gate: from what a sample looks like to the weight of every expert.

Selection, temperature and top-k are those of `nn/routing.py`.

Axes: n rows, c features that the gate reads, g heads, k experts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wxjax import errors
from wxjax.nn import balance, routing
from wxjax.nn.routing import Choice
from wxjax.ops.dense import gelu

KINDS = ("learned", "uniform", "fixed")
INPUTS = ("concat", "cls")
HEADS = ("mean", "chunk")
TEMPERATURES = ("fixed", "learned", "scheduled")
START, END = 2.0, 0.5  # of the scheduled temperature


class Gating(NamedTuple):
    """How experts are weighted.

    Attributes:
      kind: 'learned'; 'uniform' (1/k for all) and 'fixed' (`weights`) are controls.
      depth: linear maps, 1 to 3; hidden layers have half the input's width.
      input: 'concat' of all scales' features, or 'cls', which lets unchosen scales be skipped.
      schedule: 'fixed' at `temperature`, 'learned' (softplus, within 0.3 to 3), or
        'scheduled' from 2 to 0.5 over the run.
      heads: gates; `heads_mode` 'mean' averages them, 'chunk' gives each its own part of
        the experts' features.
      top_k: experts kept, 0 for all; top_p: mass after which fewer are; least: at least.
      renormalise: whether what is kept sums to 1.
      bias: a selection bias moved towards unused experts instead of a balance loss.
    """

    kind: str = "learned"
    weights: Sequence[float] = ()
    depth: int = 2
    input: str = "concat"
    schedule: str = "fixed"
    temperature: float = 1.0
    heads: int = 1
    heads_mode: str = "mean"
    top_k: int = 0
    top_p: float = 1.0
    least: int = 1
    renormalise: bool = True
    noise: bool = True
    dropout: float = 0.1
    bias: bool = False

    def kept(self, k: int) -> int:
        """Slots a sample, of k experts."""
        return self.top_k or k

    def sparse(self, k: int) -> bool:
        """Whether some experts go unused for some samples."""
        return self.kept(k) < k or self.top_p < 1


class Gate(NamedTuple):
    """What a gate said.

    Attributes:
      weights: `[n g k]` what experts are mixed with; 0 for those not kept.
      probs: `[n g k]` over all experts, before selection.
      logits: `[n g k]` noisy in training.
    """

    weights: Array
    probs: Array
    logits: Array


def check(gating: Gating, experts: int, features: int) -> None:
    """Raises InputError for settings that no gate has."""
    name = "config.model.gate."
    for key, value, known in (
        ("kind", gating.kind, KINDS),
        ("input", gating.input, INPUTS),
        ("heads_mode", gating.heads_mode, HEADS),
        ("schedule", gating.schedule, TEMPERATURES),
    ):
        if value not in known:
            raise errors.unknown(name + key, value, known)
    if not 1 <= gating.depth <= 3:
        raise errors.bad(name + "depth", gating.depth, "expected 1 to 3")
    if gating.temperature <= 0:
        raise errors.bad(name + "temperature", gating.temperature, "expected a positive number")
    if gating.heads < 1 or gating.heads_mode == "chunk" and features % gating.heads:
        expected = f"expected at least 1, and a divisor of the {features} features for 'chunk'"
        raise errors.bad(name + "heads", gating.heads, expected)
    if gating.kind == "fixed" and len(gating.weights) != experts:
        expected = f"expected one for each of {experts} experts"
        raise errors.bad(name + "weights", tuple(gating.weights), expected)
    routing.check(gating.kept(experts), gating.top_p, experts)
    if not 1 <= gating.least <= gating.kept(experts):
        raise errors.bad(name + "least", gating.least, "expected 1 to the experts kept")


class Router(nn.Module):
    """A gate over `experts` for rows of features; see `Gating`."""

    gating: Gating
    experts: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n c"],
        train: bool = False,
        progress: Float[Array, ""] | float = 1.0,
        allowed: Bool[Array, "n k"] | None = None,
    ) -> Gate:
        """Args: progress: share of the run that is done; allowed: experts that may be kept."""
        gating, k = self.gating, self.experts
        groups = gating.heads if gating.heads_mode == "chunk" else 1
        if gating.kind != "learned":
            shares = gating.weights if gating.kind == "fixed" else [1.0] * k
            row = jnp.asarray(shares, jnp.float32)
            row = jnp.broadcast_to(row, (x.shape[0], groups, k))
            if allowed is not None:
                row = row * allowed[:, None]
            row = row / jnp.maximum(row.sum(-1, keepdims=True), 1e-9)
            return Gate(row, row, jnp.log(jnp.maximum(row, 1e-9)))
        logits = self._logits(x.astype(jnp.float32), train)
        logits = logits / self._temperature(progress)
        if train and gating.noise and gating.kept(k) < k:
            logits = logits + jax.random.normal(self.make_rng("dropout"), logits.shape) / k
        if allowed is not None:
            logits = jnp.where(allowed[:, None], logits, -1e9)
        if groups < gating.heads:  # the mean of several gates is one gate
            probs = jax.nn.softmax(logits).mean(1, keepdims=True)
            logits = jnp.log(jnp.maximum(probs, 1e-9))
        probs = routing.probabilities(logits)
        return Gate(self._select(logits, probs, train), probs, logits)

    def _logits(self, x, train):
        gating = self.gating
        width = x.shape[-1] // 2
        for i in range(gating.depth - 1):
            x = gelu(nn.LayerNorm(name=f"norm{i}")(nn.Dense(width, name=f"hidden{i}")(x)))
            x = nn.Dropout(gating.dropout, deterministic=not train)(x)
        x = nn.Dense(gating.heads * self.experts, name="logits")(x)
        return x.reshape(x.shape[0], gating.heads, self.experts)

    def _temperature(self, progress):
        gating = self.gating
        if gating.schedule == "learned":
            start = jnp.log(jnp.expm1(jnp.float32(gating.temperature)))
            raw = self.param("temperature", lambda key: start)
            return jnp.clip(jax.nn.softplus(raw), 0.3, 3.0)
        if gating.schedule == "scheduled":
            return START + (END - START) * jnp.clip(jnp.asarray(progress), 0, 1)
        return gating.temperature

    def _select(self, logits, probs, train):
        gating, k = self.gating, self.experts
        if not gating.sparse(k):
            return probs
        ranked = logits
        if gating.bias:
            bias = self.variable("router", "bias", lambda: jnp.zeros(k))
            ranked = logits + bias.value
        choice = routing.select(ranked, gating.kept(k), gating.top_p, least=gating.least)
        kept = routing.scatter(choice, k) > 0
        if gating.bias and train and not self.is_initializing():
            bias.value = balance.bias_step(jax.lax.stop_gradient(kept), bias.value)
        if gating.renormalise:
            return jax.nn.softmax(logits, where=kept)
        return probs * kept


def choice(weights: Float[Array, "n k"], slots: int) -> Choice:
    """The experts kept, heaviest first, as the executors take them."""
    weight, index = jax.lax.top_k(weights, slots)
    return Choice(index.astype(jnp.int32), weight)
