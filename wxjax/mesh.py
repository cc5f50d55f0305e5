"""Devices as a mesh of one axis, and where arrays lie on it."""

import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from wxjax import errors

LARGE = 2**20  # elements above which splitting a leaf repays the gathering


def initialize() -> None:
    """Joins the other hosts if the environment says there are any; call before any array exists.

    Asked for by JAX_COORDINATOR_ADDRESS (with JAX_NUM_PROCESSES and JAX_PROCESS_ID), by Slurm
    or Open MPI with more than one task, or by a TPU slice of several workers. Else does nothing.
    """
    asked = (
        "JAX_COORDINATOR_ADDRESS" in os.environ
        or int(os.environ.get("SLURM_NTASKS", 1)) > 1
        and "SLURM_STEP_NODELIST" in os.environ
        or int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1
        or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    )
    if asked and not jax.distributed.is_initialized():
        address, count, index = (
            os.environ.get(f"JAX_{name}")
            for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")
        )
        jax.distributed.initialize(address, count and int(count), index and int(index))


def make(devices: int | None = None, *, batch_size: int | None = None) -> Mesh:
    """One axis, 'data', over the first `devices` devices; None or 0 takes all.

    With `batch_size` (of this host) and no `devices`, as many as divide the batch: a batch of 2
    on a machine with four devices uses two. Axes are Auto: under Explicit ones, the default of
    jax.make_mesh, merging a split batch axis with window axes is a type error.

    Raises:
      InputError: where there are fewer devices than asked for.
    """
    available = jax.device_count()
    if devices is not None and not 0 <= devices <= available:
        raise errors.bad("mesh.devices", devices, f"expected 0 (all) to {available}, what is here")
    if not devices and batch_size and jax.process_count() == 1:
        devices = math.gcd(batch_size, available)
    chosen = jax.devices()[: devices or available]
    return jax.make_mesh((len(chosen),), ("data",), axis_types=(AxisType.Auto,), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, P())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Split on the first axis."""
    return NamedSharding(mesh, P("data"))


def shardings(tree: Any, mesh: Mesh, fsdp: bool = False) -> Any:
    """One sharding a leaf of `tree` (arrays or shapes): replicated, or split where that pays.

    With `fsdp`, a leaf of more than 2**20 elements is split on its largest axis that the number
    of devices divides (the first of equals). Optimiser moments have their parameter's shape, so
    the same rule puts them where the parameter lies.
    """

    def rule(leaf):
        axes = [n for n, size in enumerate(leaf.shape) if size % mesh.size == 0]
        if not fsdp or math.prod(leaf.shape) <= LARGE or not axes or mesh.size == 1:
            return replicated(mesh)
        axis = max(axes, key=lambda n: leaf.shape[n])
        return NamedSharding(mesh, P(*[None] * axis, "data"))

    return jax.tree.map(rule, tree)


def put(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
    """Numbers go to the devices, split on axis b; strings stay on the host.

    Raises:
      InputError: where the devices do not divide the batch.
    """

    def place(name, x):
        if isinstance(x, jax.Array) and x.sharding == by_batch(mesh):
            return x  # made on the devices
        x = np.asarray(x)
        if x.dtype.kind in "OSU":
            return x
        local = mesh.size // jax.process_count()
        if x.ndim == 0 or x.shape[0] % max(1, local):
            raise errors.bad(
                "batch_size",
                x.shape[0] if x.ndim else 0,
                f"expected a multiple of the {local} devices ({name!r} is split over them)",
                "Change data.batch_size or mesh.devices.",
            )
        return jax.make_array_from_process_local_data(by_batch(mesh), x)

    return {name: place(name, x) for name, x in batch.items()}


def agree(flag: bool) -> bool:
    """True on every host where it is true on one; waits for the others if there are any."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.bool_(flag)).any())


def from_first(number: int) -> int:
    """The number that the first host holds, on every host."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))
