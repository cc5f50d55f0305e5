"""Floating-point operations of a traced program, loops counted as often as they run.

XLA's own `cost_analysis` counts the body of a loop once, so a program that maps over
45 tiles reads 45 times too cheap. Here a multiply-add is two operations, and only
matrix products and convolutions count, as in the field's tables.
"""

import math
from collections.abc import Callable

import jax


def count(fn: Callable, *args) -> float:
    """Operations of `fn(*args)`; arguments may be `jax.ShapeDtypeStruct`.

    Of the branches of a conditional the dearest counts; a `while` loop whose trip count
    is not known when tracing counts once.
    """
    return _count(jax.make_jaxpr(fn)(*args).jaxpr)


def _count(jaxpr) -> float:
    return float(sum(_equation(eqn) for eqn in jaxpr.eqns))


def _equation(eqn) -> float:
    name = eqn.primitive.name
    if name == "dot_general":
        (contract, _), _ = eqn.params["dimension_numbers"]
        depth = math.prod(eqn.invars[0].aval.shape[i] for i in contract)
        return 2.0 * math.prod(eqn.outvars[0].aval.shape) * depth
    if name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        kernel = eqn.invars[1].aval.shape
        out_features = kernel[numbers.rhs_spec[0]]
        return 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(kernel) / out_features
    if name == "cond":
        return max(_count(branch.jaxpr) for branch in eqn.params["branches"])
    inner = [
        value.jaxpr if hasattr(value, "jaxpr") else value
        for value in eqn.params.values()
        if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
    ]
    times = eqn.params.get("length", 1) if name == "scan" else 1
    return float(times * sum(_count(part) for part in inner))
