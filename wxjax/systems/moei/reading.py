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


def look(
    images: Float[Array, "n h w 3"], maps: Sequence[Array], picture: bool = True
) -> list[Float[Array, "n 3 _"]]:
    """Central moments of each map of the encoder, and on demand of the picture's own maps."""
    found = [jax.vmap(moments.central)(x) for x in maps]
    return [*found, signs.statistics(images)] if picture else found


def describe(parts: Sequence[Float[Array, "n 3 _"]], share: Float[Array, "n"]) -> Float[Array, "v"]:
    """The statistics of a whole of which `look` saw the parts, `share` of it each."""
    merged = [moments.merge(part, share) for part in parts]
    last = merged[-1].shape[-1] == signs.COUNT  # what `look` says of the picture itself
    said = [moments.describe(each) for each in (merged[:-1] if last else merged)]
    return jnp.concatenate([*said, signs.describe(merged[-1])] if last else said)


def features(dims: Sequence[int], picture: bool = True) -> int:
    """Length of a router's vector: the mean token, the encoder's part, the picture's."""
    return dims[-1] + 3 * sum(dims) + picture * signs.FEATURES
