"""The bare backbone as a function of image and variables, for weights from elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from wxjax.systems.moei.backbone import Backbone


def network(model: Mapping) -> tuple[Callable[..., Any], Any]:
    """DehazeXL of the sizes `model` (`config.model`).

    Returns:
      `apply(variables, image [b h w 3]) -> [b h w 3]` in float32, unclipped, for images
      of any size; and the shapes of `variables`, which are those of the task's stage
      'dense'.
    """
    net = Backbone(FrozenConfigDict(ConfigDict(dict(model))))

    def apply(variables, image):
        params = variables["params"]["backbone"]
        return net.apply({"params": params}, jnp.asarray(image, jnp.float32))

    side = model["region"]
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    return apply, {"params": {"backbone": shapes["params"]}}
