"""What a run must remember between two steps, and nothing else."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """Data only: donated to each step, sharded, saved and restored whole.

    No key (it is folded from the step) and no function. Fields are untyped on purpose: a tree
    map may put a shape, a sharding or a mask where an array stood.
    """

    step: Any  # int32: updates done
    params: Any
    stats: Any  # mutable collections such as {'batch_stats': ...}; often empty
    opt_state: Any  # of the trained parameters; a frozen one has none
    ema: Any  # exponential moving average of params

    @classmethod
    def create(cls, variables: Any, tx: optax.GradientTransformation, frozen: Any) -> "TrainState":
        """Step 0 from `variables`; `frozen` is a tree of bools shaped like the parameters.

        Everything is copied: the state is donated, so no buffer may have a second name, be it
        in the moving average or in the hands of the caller.
        """
        copied = jax.tree.map(jnp.copy, dict(variables))
        params = copied.pop("params")
        ema = jax.tree.map(jnp.copy, params)
        return cls(jnp.int32(0), params, copied, tx.init(trained(params, frozen)), ema)

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated and shipped: averaged parameters, current statistics."""
        return {"params": self.ema, **self.stats}


def trained(tree: Any, frozen: Any) -> Any:
    """`tree` with None, which holds no leaf, in the place of every frozen one."""
    return jax.tree.map(lambda leaf, fixed: None if fixed else leaf, tree, frozen)


def join(changed: Any, whole: Any, frozen: Any) -> Any:
    """Undoes `trained`: `changed` where trained, `whole` where frozen."""
    leaves = iter(jax.tree.leaves(changed))
    return jax.tree.map(lambda old, fixed: old if fixed else next(leaves), whole, frozen)
