"""The norm behind the fused feature, over the shots that have it.

Axes: b shots, the rest features.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class MaskedBatchNorm(nn.Module):
    """Batch normalisation without a learned shift (BNNeck; Luo et al., 2019).

    Shots without a feature have no say in its mean, and it comes out 0 for them; one that no
    shot of the batch has keeps its running mean and variance.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ..."], known: Bool[Array, "b ..."], train: bool
    ) -> Float[Array, "b ..."]:
        """`x` normalised where `known`, 0 elsewhere."""
        shape = x.shape[1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        scale = self.param("scale", nn.initializers.ones, shape)
        here = jnp.broadcast_to(known, x.shape)
        if train:
            count = here.sum(0)
            weight = here / jnp.maximum(count, 1)
            centre = (weight * x).sum(0)
            spread = (weight * jnp.square(x - centre)).sum(0)
            if not self.is_initializing():
                keep = jnp.where(count > 0, self.momentum, 1.0)
                mean.value = keep * mean.value + (1 - keep) * centre
                var.value = keep * var.value + (1 - keep) * spread
        else:
            centre, spread = mean.value, var.value
        inverse = scale / jnp.sqrt(spread + self.epsilon)
        return jnp.where(here, (x - centre) * inverse, 0.0)
