"""AdamW under a warmed-up rate, with parameters frozen by name."""

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

from wxjax import errors

SCHEDULES = ("cosine", "constant")


def name(path: tuple) -> str:
    """A leaf's path as 'encoder/block_0/kernel': what patterns, files and messages use."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def frozen(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of bools: True where a pattern matches a parameter's whole name.

    Args:
      patterns: regular expressions such as 'encoder/.*' (`re.fullmatch`).

    Raises:
      InputError: for a pattern that is not valid, freezes nothing, or leaves nothing to train.
    """
    names = [name(path) for path, _ in jax.tree.leaves_with_path(params)]
    for pattern in patterns:
        try:
            used = any(re.fullmatch(pattern, each) for each in names)
        except re.error as error:
            raise errors.bad(
                "optimizer.frozen", pattern, f"not a regular expression ({error})"
            ) from error
        if not used:
            parts = {"/".join(each.split("/")[: n + 1]) for each in names for n in range(9)}
            close = difflib.get_close_matches(pattern.replace(".*", ""), sorted(parts), n=3)
            cure = f"Close to it: {', '.join(close)}." if close else f"The first is {names[0]!r}."
            raise errors.bad(
                "optimizer.frozen", pattern, "expected a pattern that matches a parameter", cure
            )
    matched = [any(re.fullmatch(p, each) for p in patterns) for each in names]
    if names and all(matched):
        raise errors.bad(
            "optimizer.frozen", tuple(patterns), "expected at least one parameter left to train"
        )
    return jax.tree.unflatten(jax.tree.structure(params), matched)


def schedule(config: Any, num_steps: int) -> optax.Schedule:
    """The rate a step: linear from 0 over `warmup_steps`, then a half cosine or constant.

    Raises:
      InputError: for an unknown schedule or a warm-up that fills the run.
    """
    if config.schedule not in SCHEDULES:
        raise errors.unknown("optimizer.schedule", config.schedule, SCHEDULES)
    if not 0 <= config.warmup_steps < num_steps:
        raise errors.bad(
            "optimizer.warmup_steps",
            config.warmup_steps,
            f"expected 0 <= it < num_steps={num_steps}",
        )
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        end = getattr(config, "end_value", 0.0)
        return optax.warmup_cosine_decay_schedule(
            0.0 if warmup else peak, peak, warmup, num_steps, end
        )
    rise = optax.linear_schedule(0.0, peak, warmup)
    return optax.join_schedules([rise, optax.constant_schedule(peak)], [warmup])


def _kernels(params: Any) -> Any:
    """Weight decay pulls on kernels alone, not on biases, norms, gates or position tables."""
    return jax.tree.map_with_path(lambda path, _: name(path[-1:]) == "kernel", params)


def make(config: Any, num_steps: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """AdamW (Loshchilov and Hutter 2019) after clipping by global norm, and its schedule.

    Args:
      config: `learning_rate, warmup_steps, schedule, b1, b2, weight_decay, clip_norm` (0: no
        clipping) and, for the cosine, `end_value` (the rate it ends at; 0 if absent); `rates`,
        where present: pairs (pattern, factor) for parameters that learn at another rate, all
        that match a name multiplied.
    """
    rate = schedule(config, num_steps)
    adamw = optax.adamw(
        rate, b1=config.b1, b2=config.b2, weight_decay=config.weight_decay, mask=_kernels
    )
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    parts = [clip, adamw]
    if rates := tuple(getattr(config, "rates", ())):
        parts.append(optax.stateless(lambda updates, _: _scaled(updates, rates)))
    return optax.chain(*parts), rate


def _scaled(updates: Any, rates: Sequence) -> Any:
    """Updates times the factors of the patterns that match the parameter's whole name."""

    def one(path, update):
        factors = [factor for pattern, factor in rates if re.fullmatch(pattern, name(path))]
        return update * math.prod(factors) if factors else update

    return jax.tree.map_with_path(one, updates)
