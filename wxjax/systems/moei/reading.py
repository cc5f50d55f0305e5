"""What a router reads of a picture besides the mean token: statistics, part by part.

The mean token alone hardly tells rain from snow: after the bottleneck all three weathers
are a veil. Streaks and flakes have a shape in the encoder's finer maps, and in simple
filters of the picture itself (`signs.py`), so their statistics come along.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wxjax.ops import moments
from wxjax.systems.moei import signs


def look(images: Float[Array, "n s s 3"], maps: Sequence[Array]) -> list[Float[Array, "n 3 _"]]:
    """Central moments of each map of the encoder, and last of the picture's own maps."""
    return [*(jax.vmap(moments.central)(x) for x in maps), signs.statistics(images)]


def describe(parts: Sequence[Float[Array, "n 3 _"]], share: Float[Array, "n"]) -> Float[Array, "v"]:
    """The statistics of a whole of which `look` saw the parts, `share` of it each."""
    *maps, picture = (moments.merge(part, share) for part in parts)
    return jnp.concatenate([*map(moments.describe, maps), signs.describe(picture)])


def features(dims: Sequence[int]) -> int:
    """Length of a router's vector: the mean token, the encoder's part, the picture's."""
    return dims[-1] + 3 * sum(dims) + signs.FEATURES
