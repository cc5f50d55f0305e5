"""Parameters that learn at a rate of their own."""

import jax.numpy as jnp
import numpy as np

from configs import common
from wxjax.train import optimizer


def test_factors_of_all_patterns_that_match_a_whole_name_multiply():
    params = {"trunk": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "head": {"bias": jnp.ones(2)}}
    grads = {"trunk": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "head": {"bias": jnp.ones(2)}}
    config = common.optimizer(schedule="constant", clip_norm=0.0, weight_decay=0.0)
    plain, _ = optimizer.make(config, 10)
    config.rates = (("trunk/.*", 0.5), (".*/bias", 2.0), ("trunk", 9.0))
    scaled, _ = optimizer.make(config, 10)
    base = plain.update(grads, plain.init(params), params)[0]
    found = scaled.update(grads, scaled.init(params), params)[0]
    ratio = lambda *path: float((found[path[0]][path[1]] / base[path[0]][path[1]])[0])
    assert ratio("trunk", "kernel") == 0.5
    assert ratio("trunk", "bias") == 1.0 and ratio("head", "bias") == 2.0
    assert np.isfinite(base["head"]["bias"]).all()
