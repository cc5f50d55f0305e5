"""A task that trains in a second, in a test or alone: `python -m tests.train.toy DIR`."""

import os
import sys
import time

import flax.linen as nn
import grain
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors
from wxjax import mesh as meshes
from wxjax.task import Task
from wxjax.train import loop


class Net(nn.Module):
    """A residual net of two named parts."""

    width: int = 8

    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(self.width, name="stem")(x))
        return x + nn.Dense(x.shape[-1], name="head")(y)


class Source:
    """Sixteen random pairs; `changed` tells the picture that differs from the usual one."""

    def __init__(self, changed=None, poisoned=None):
        self.changed, self.poisoned = changed, poisoned

    def __len__(self):
        return 16

    def __getitem__(self, i):
        rng = np.random.default_rng([i, i == self.changed])
        image = rng.random((4, 4, 3), np.float32)
        if i == self.poisoned:
            image[0, 0, 0] = np.nan
        return {"image": image, "target": image**2, "index": np.int32(i)}

    def __repr__(self):
        return f"Source(changed={self.changed})"


def task(net=None, noise=0.01):
    net = net or Net()

    def loss(variables, batch, key, step):
        jitter = noise * jax.random.normal(key, batch["image"].shape[1:])
        error = net.apply(variables, batch["image"] + jitter) - batch["target"]
        mean = jnp.mean(error**2)
        return mean, ({"mse": mean, "bias": jnp.mean(error)}, {})

    def predict(variables, batch):
        return {"image": net.apply(variables, batch["image"])}

    def measure(outputs, batch):
        return {"mse": jnp.mean((outputs["image"] - batch["target"]) ** 2, (1, 2, 3))}

    def summarize(rows):
        return {"mse": float(np.mean([row["mse"] for row in rows]))}

    return Task(lambda key, b: net.init(key, b["image"]), loss, predict, measure, summarize)


def config(**changes):
    """Twelve steps; keys such as 'optimizer.frozen' may be changed."""
    made = ConfigDict(
        dict(
            seed=3,
            num_steps=12,
            ema_decay=0.9,
            accumulate=1,
            log_every=5,
            optimizer=dict(
                learning_rate=1e-2,
                warmup_steps=2,
                schedule="cosine",
                end_value=0.0,
                b1=0.9,
                b2=0.99,
                weight_decay=1e-2,
                clip_norm=1.0,
                frozen=(),
            ),
            checkpoint=dict(every_steps=3, keep=2, best=""),
            evaluate=dict(every_steps=4, patience=0),
            mesh=dict(devices=1, fsdp=False),
        )
    )
    made.update_from_flattened_dict(changes)
    return made.lock()


class _Slow(grain.transforms.Map):
    def map(self, example):
        time.sleep(float(os.environ.get("TOY_SLEEP", 0)))
        return example


def batches(source=None, size=8, seed=1):
    source = source or Source()
    data = grain.MapDataset.source(source).seed(seed).shuffle().repeat(None).map(_Slow())
    iterator = iter(
        data.batch(size, drop_remainder=True).to_iter_dataset(
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        )
    )
    iterator.source = source
    return iterator


def evaluate(variables, step):
    return {"size": float(sum(jnp.abs(x).sum() for x in jax.tree.leaves(variables)))}


def run(workdir, source=None, size=8, net=None, noise=0.01, devices=1, **changes):
    data = batches(source, size)
    made, mesh = config(**changes), meshes.make(devices)
    return loop.train(task(net, noise), made, data, workdir, evaluate=evaluate, mesh=mesh)


def run_with(workdir, evaluate, best="", **changes):
    """A run with an evaluation of its own; `best` names what decides which step is kept."""
    made = config(**{"checkpoint.best": best}, **changes)
    return loop.train(task(), made, batches(), workdir, evaluate=evaluate)


def arrays(state):
    return [np.asarray(x) for x in jax.tree.leaves(state)]


if __name__ == "__main__":
    extra = eval(sys.argv[2]) if len(sys.argv) > 2 else {}
    try:
        run(sys.argv[1], **extra)
    except errors.InputError as error:
        sys.exit(f"wxjax: {error}")
