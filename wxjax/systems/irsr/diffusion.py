"""Diffusion that shifts a residual: from the picture x_0 to its degraded double y, and back.

Yue et al., "ResShift", NeurIPS 2023 (arXiv 2307.12348); its deterministic sampler is
DifIISR's (CVPR 2025). All of it commutes with a shift of x_0, x_t and y by the same, and
with a division of them and of kappa by the same.
Axes: t steps, b images, h w height width of the latent, c channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from wxjax import errors

PREDICTIONS = ("xstart", "residual", "epsilon", "epsilon_scale")
SPACINGS = ("endpoints", "official")
INPUTS = ("latent", "pixel", "none")


class Schedule(NamedTuple):
    """Shift and noise of every step, in float64.

    Attributes:
      sqrt_eta: `[t]`, rising; step i has shifted by sqrt_eta^2 and has kappa sqrt_eta noise.
      kappa: noise in units of the latent.
      steps: the index of each in the schedule that a network is trained under.
    """

    sqrt_eta: np.ndarray
    kappa: float
    steps: np.ndarray

    @property
    def eta(self) -> np.ndarray:
        return self.sqrt_eta**2

    @property
    def eta_before(self) -> np.ndarray:
        return np.append(0.0, self.eta[:-1])

    @property
    def alpha(self) -> np.ndarray:
        """What a step adds to the shift."""
        return self.eta - self.eta_before

    @property
    def variance(self) -> np.ndarray:
        """Of q(x_before | x_t, x_0); 0 at the first step."""
        return self.kappa**2 * self.eta_before / self.eta * self.alpha

    @property
    def variance_clipped(self) -> np.ndarray:
        """The same with the second step's at the first, where a logarithm is taken."""
        second = self.variance[min(1, len(self.variance) - 1)]
        return np.append(second, self.variance[1:])


def schedule(
    steps: int = 15,
    *,
    kappa: float = 2.0,
    min_noise: float = 0.04,
    power: float = 0.3,
    end: float = 0.99,
    capped: bool = True,
) -> Schedule:
    """sqrt_eta_i = start (end / start)^((i / (steps - 1))^power), rising to `end`.

    Args:
      min_noise: of the first step: start = min(min_noise / kappa, min_noise).
      capped: also at most sqrt(0.001), as in DifIISR; the journal's ResShift leaves it out,
        whose 4 steps start at 0.2.

    Raises:
      InputError: for fewer than 2 steps, and numbers that make no rising schedule.
    """
    if steps < 2:
        cure = "One call of the network is respace(schedule, 1)."
        raise errors.bad("diffusion.steps", steps, "expected at least 2", cure)
    if kappa <= 0 or min_noise <= 0 or power <= 0:
        given = f"kappa={kappa}, min_noise={min_noise}, power={power}"
        raise errors.bad("diffusion", given, "expected numbers above 0")
    start = min(min_noise / kappa, min_noise, *([0.001**0.5] if capped else []))
    if not start < end < 1:
        raise errors.bad("diffusion.end", end, f"expected between {start:.4g} and 1")
    share = (np.arange(steps) / (steps - 1)) ** power
    return Schedule(start * (end / start) ** share, float(kappa), np.arange(steps))


def respace(plan: Schedule, count: int, spacing: str = "endpoints") -> Schedule:
    """`count` of the steps, which keep their noise and the index the network knows.

    Args:
      spacing: 'endpoints' keeps the last step always, and the first for 2 or more, so that
        one step is one call from pure noise; 'official' starts at the first and drops the
        last, so that a chain starts where there should be less noise.

    Raises:
      InputError: for fewer than 1 step or more than there are.
    """
    total = len(plan.steps)
    if not 1 <= count <= total:
        raise errors.bad("sampling steps", count, f"expected 1 to {total}, those of training")
    if spacing not in SPACINGS:
        raise errors.unknown("spacing", spacing, SPACINGS)
    if spacing == "official":
        kept = (total / count * np.arange(count)).astype(int)
    else:
        kept = np.linspace(0, total - 1, count).round().astype(int) if count > 1 else [total - 1]
    return plan._replace(sqrt_eta=plan.sqrt_eta[kept], steps=plan.steps[kept])


def at(values: np.ndarray, t: Int[Array, "b"]) -> Float[Array, "b 1 1 1"]:
    """The value of each example's step, to multiply a latent with."""
    return jnp.asarray(values, jnp.float32)[t][:, None, None, None]


def noised(
    plan: Schedule,
    x0: Float[Array, "b h w c"],
    y: Float[Array, "b h w c"] | float,
    t: Int[Array, "b"],
    noise: Float[Array, "b h w c"],
) -> Float[Array, "b h w c"]:
    """A sample of q(x_t | x_0, y)."""
    eta, spread = at(plan.eta, t), at(plan.kappa * plan.sqrt_eta, t)
    return eta * (y - x0) + x0 + spread * noise


def posterior(
    plan: Schedule, xt: Float[Array, "b h w c"], x0: Float[Array, "b h w c"], t: Int[Array, "b"]
) -> tuple[Float[Array, "b h w c"], Float[Array, "b 1 1 1"]]:
    """Mean and variance of q(x_before | x_t, x_0)."""
    back, there = plan.eta_before / plan.eta, plan.alpha / plan.eta
    return at(back, t) * xt + at(there, t) * x0, at(plan.variance, t)


def prior(
    plan: Schedule, y: Float[Array, "b h w c"], noise: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Where sampling starts: y and the last step's noise."""
    return y + np.float32(plan.kappa * plan.sqrt_eta[-1]) * noise


def input_scale(plan: Schedule, kind: str = "latent") -> np.ndarray:
    """`[t]`, what x_t is divided by before the network sees it.

    'latent' takes x_0 for unit variance; 'pixel' for something in [-1, 1], and three
    deviations of noise.
    """
    if kind not in INPUTS:
        raise errors.unknown("diffusion.input", kind, INPUTS)
    if kind == "latent":
        return np.sqrt(plan.kappa**2 * plan.eta + 1)
    return 3 * plan.kappa * plan.sqrt_eta + 1 if kind == "pixel" else np.ones_like(plan.eta)


def target(
    plan: Schedule,
    kind: str,
    x0: Float[Array, "b h w c"],
    y: Float[Array, "b h w c"] | float,
    t: Int[Array, "b"],
    noise: Float[Array, "b h w c"],
) -> Float[Array, "b h w c"]:
    """What a network of this kind should answer."""
    check_prediction(kind)
    if kind == "xstart":
        return x0
    if kind == "residual":
        return y - x0
    return noise if kind == "epsilon" else at(plan.kappa * plan.sqrt_eta, t) * noise


def estimate(
    plan: Schedule,
    kind: str,
    out: Float[Array, "b h w c"],
    xt: Float[Array, "b h w c"],
    y: Float[Array, "b h w c"] | float,
    t: Int[Array, "b"],
) -> Float[Array, "b h w c"]:
    """x_0 from the answer of a network of this kind."""
    check_prediction(kind)
    if kind == "xstart":
        return out
    if kind == "residual":
        return y - out
    spread = at(plan.kappa * plan.sqrt_eta, t) if kind == "epsilon" else 1
    eta = at(plan.eta, t)
    return (xt - spread * out - eta * y) / (1 - eta)


def epsilon(
    plan: Schedule,
    xt: Float[Array, "b h w c"],
    x0: Float[Array, "b h w c"],
    y: Float[Array, "b h w c"] | float,
    t: Int[Array, "b"],
) -> Float[Array, "b h w c"]:
    """The noise in x_t, given x_0."""
    eta = at(plan.eta, t)
    return (xt - (1 - eta) * x0 - eta * y) / at(plan.kappa * plan.sqrt_eta, t)


def loss_weight(plan: Schedule, kind: str, weighted: bool = False) -> np.ndarray:
    """`[t]`, what the squared error of a step is multiplied with.

    Args:
      weighted: by the variational bound; no published configuration does.
    """
    check_prediction(kind)
    weight = np.ones_like(plan.eta)
    if kind == "epsilon_scale":
        weight = weight / (plan.kappa**2 * plan.eta)
    if not weighted:
        return weight
    if kind in ("xstart", "residual"):
        ratio = plan.alpha / plan.eta
    else:
        ratio = plan.kappa * plan.alpha / ((1 - plan.eta) * plan.sqrt_eta)
    return weight * 0.5 / plan.variance_clipped * ratio**2


def check_prediction(kind: str) -> None:
    if kind not in PREDICTIONS:
        raise errors.unknown("diffusion.predict", kind, PREDICTIONS)


class Update(NamedTuple):
    """x_before = k x_0 + m x_t + j y + s noise, `[t]` each."""

    k: np.ndarray
    m: np.ndarray
    j: np.ndarray
    s: np.ndarray


def update(plan: Schedule, randomness: float = 1.0) -> Update:
    """The coefficients of a sampler.

    x_before = (1 - eta') x_0 + eta' y + sqrt(kappa^2 eta' - s^2) noise_t + s noise with
    s^2 = randomness^2 times the posterior's variance and noise_t that of x_t. 1 is the
    ancestral sampler, 0 the deterministic one of DifIISR ("DDIM").

    Raises:
      InputError: for a randomness outside [0, 1].
    """
    if not 0 <= randomness <= 1:
        raise errors.bad("sampling randomness", randomness, "expected between 0 and 1")
    eta, before = plan.eta, plan.eta_before
    variance = randomness**2 * plan.variance
    kept = np.maximum(plan.kappa**2 * before - variance, 0.0)
    m = np.sqrt(kept / (plan.kappa**2 * eta))
    return Update(k=1 - before - m * (1 - eta), m=m, j=before - m * eta, s=np.sqrt(variance))


def keyed_noise(
    key: Key[Array, ""],
    index: Int[Array, "b"],
    shape: tuple[int, int, int],
    corner: Int[Array, "b 2"] | None = None,
) -> Callable[[Array], Array]:
    """`noise(step) -> [b h w c]`, one number for each example, place, band and step.

    So neither the batch nor the tile that a place is seen in changes its noise.

    Args:
      corner: row and column of the first place of a latent that is part of a larger one.
    """
    h, w, c = shape
    fold = jax.random.fold_in
    corner = jnp.zeros((len(index), 2), jnp.int32) if corner is None else corner

    def noise(step):
        def draw(number, start):
            own = fold(fold(key, number), step)
            rows = jax.vmap(fold, (None, 0))(own, start[0] + jnp.arange(h))
            places = jax.vmap(jax.vmap(fold, (None, 0)), (0, None))(rows, start[1] + jnp.arange(w))
            return jax.vmap(jax.vmap(lambda k: jax.random.normal(k, (c,))))(places)

        return jax.vmap(draw)(index, corner)

    return noise


def sample(
    plan: Schedule,
    network: Callable[[Array, Array], Array],
    y: Float[Array, "b h w c"],
    noise: Callable[[Array], Array],
    *,
    randomness: float = 1.0,
    predict: str = "xstart",
    scaling: str = "latent",
    clip: bool = False,
    correct: Callable[[Array], Array] | None = None,
) -> tuple[Float[Array, "b h w c"], Float[Array, "t b h w c"]]:
    """Runs the chain backwards, as one `lax.scan`.

    Args:
      network: `(x_t / input_scale, steps [b]) -> answer`; bind the condition to it.
      y: what the chain starts from, with noise; 0 in residual coordinates.
      noise: `(step) -> [b h w c]`; asked for i = len(plan.steps) for the start, and for
        every step i above 0. Step 0 adds none.
      randomness: 1 ancestral, 0 deterministic (`update`).
      clip: x_0 to [-1, 1]; for pixels, never for wavelet bands.
      correct: applied to every estimate of x_0: guidance, data consistency.

    Returns:
      x_0, and x after every step; where nothing asks for the latter, jit drops it.
    """
    check_prediction(predict)
    rows = update(plan, randomness)
    count, b = len(plan.steps), y.shape[0]
    table = {name: np.asarray(row, np.float32) for name, row in rows._asdict().items()}
    table |= dict(
        scale=np.asarray(input_scale(plan, scaling), np.float32),
        step=np.asarray(plan.steps, np.int32),
        i=np.arange(count, dtype=np.int32),
    )
    table = {name: jnp.asarray(row[::-1]) for name, row in table.items()}

    def back(x, row):
        out = network(x / row["scale"], jnp.full((b,), row["step"]))
        x0 = estimate(plan, predict, out, x, y, jnp.full((b,), row["i"]))
        x0 = jnp.clip(x0, -1, 1) if clip else x0
        x0 = x0 if correct is None else correct(x0)
        x = row["k"] * x0 + row["m"] * x + row["j"] * y
        if randomness:
            x = x + row["s"] * noise(row["i"])
        return x, x

    start = prior(plan, y, noise(jnp.int32(count)))
    return jax.lax.scan(back, start, table)
