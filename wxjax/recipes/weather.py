"""What moei, DehazeXL and MoFME have in common behind the plug: one network or a routed system
that takes weather out of pictures.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.data import sources
from wxjax.evaluate import breakdown, summary
from wxjax.nn import experts
from wxjax.recipes import attribution, benchmark, evidence, pictures, single
from wxjax.report import build
from wxjax.systems import (
    AttributeOptions,
    BenchOptions,
    Evaluated,
    EvaluateOptions,
    RestoreOptions,
)
from wxjax.task import DEGRADATIONS, Task


def routed(config: ConfigDict) -> bool:
    """Whether a run's product is a system of experts and a router, not one network."""
    return config.stage == "system"


def trained(config: ConfigDict, workdir: pathlib.Path) -> tuple[Task, dict, dict]:
    """The network or the system of a workdir: its task, variables and provenance."""
    return (evidence if routed(config) else single).system(config, workdir)


def evaluate(config: ConfigDict, workdir: pathlib.Path, options: EvaluateOptions) -> Evaluated:
    """Rows, summary and page: of the run's own test split, or of pairs elsewhere."""
    if not options.data:
        source = sources.open(config.data, "test")
        if routed(config):
            evidence.test(config, workdir, source, mixed=evidence.mixed(config))
        else:
            single.test(config, workdir, source)
        return Evaluated(workdir)
    source = sources.path(options.data)
    if options.degradation:
        source = Labelled(source, options.degradation)
    out = options.folder(workdir)
    if routed(config):
        weights = workdir / "system"
        made = evidence.evaluate(
            config, out, *trained(config, workdir), source, weights_from=weights
        )
    else:
        made = single.evaluate(config, workdir, out, source)
    build.build(out)
    return Evaluated(out, lines(made["variants"]))


def lines(variants: Mapping[str, Mapping]) -> list[str]:
    """A line per variant."""
    out = []
    for variant, entry in variants.items():
        macro = entry["macro"]
        figures = ", ".join(
            f"{name} {macro[name]['mean']:.3f}"
            for name in ("psnr", "ssim", "lpips")
            if macro.get(name)
        )
        out.append(f"{variant:8s} {figures}")
    return out


class Labelled:
    """A source whose examples all carry one degradation."""

    def __init__(self, source: Any, kind: str):
        self._source, self._kind = source, kind

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int) -> dict:
        return {**self._source[i], "degradation": np.int32(DEGRADATIONS.index(self._kind))}

    def items(self) -> dict[str, str]:
        return {name: f"{self._kind} {token}" for name, token in self._source.items().items()}

    def __repr__(self) -> str:
        return f"Labelled({self._source!r}, {self._kind})"


def restorer(
    config: ConfigDict, workdir: pathlib.Path, options: RestoreOptions
) -> tuple[Callable, dict]:
    """The workdir's system as a function of one float32 picture, and its settings."""
    pictures.allow(config, options.memory, options.devices)
    if not routed(config):
        return single.restorer(config, workdir)
    task, variables, about = evidence.system(config, workdir)
    program = pictures.program(task, variables, config.tiles)
    names = evidence.ROUTES + ("leave",) * bool(config.router.get("leave", False))
    force = np.int32(-1 if options.route is None else names.index(options.route))
    if not 0 <= options.strength <= 1:
        raise errors.bad("--strength", options.strength, "expected a number from 0 to 1")

    def restore(rgb):
        restored, said = program(rgb, force=force)
        index = int(said["route"][0])
        left = names[index] == "leave"
        if options.strength < 1 and not left:
            restored = blended(rgb, restored, options.strength)
        info = {
            "route": names[index],
            "forced": options.route is not None,
            "changed": not left,
            "index": index,
            "pmax": float(said["confidence"][0]),
            "p": [float(p) for p in said["weights"][0]],
            "abstained": bool(said["abstained"][0]),
            "latency_ms": float(said["latency_ms"]),
            "ms_per_mp": float(said["ms_per_mp"]),
            "mem_gb": float(said["mem_gb"]),
        }
        return restored, info

    restore.takes_uint8 = program.takes_uint8
    restore.fit = getattr(program, "fit", None)
    return restore, {
        "model": systems.load(config.system).title,
        **single.record(config, workdir, about),
        "forced_route": options.route,
        "strength": options.strength,
        "temperature": float(variables["calibration"]["temperature"]),
        "lapse": float(variables["calibration"]["lapse"]),
        "tau": float(variables["calibration"]["threshold"]),
    }


def blended(before: np.ndarray, after: np.ndarray, strength: float) -> np.ndarray:
    """`strength` of the change from `before` to `after`; bytes stay bytes."""
    mixed = before + np.float32(strength) * (after.astype(np.float32) - before)
    return np.rint(mixed).astype(np.uint8) if after.dtype == np.uint8 else mixed


def plan_pictures(config: ConfigDict, workdir: pathlib.Path | None, options: RestoreOptions) -> Any:
    """The network that plan asks, and no second copy of its weights, which would be counted."""
    pictures.allow(config, options.memory, options.devices)
    if workdir is None:
        return pictures.program(*pictures.blank(config), config.tiles)
    return pictures.program(*trained(config, workdir)[:2], config.tiles)


def bench(config: ConfigDict, workdir: pathlib.Path, options: BenchOptions) -> Sequence[str]:
    """Cost of every picture size, in `cost.json` and the report; or part by part."""
    task, variables, _ = trained(config, workdir)
    if options.breakdown:
        parts = benchmark.parts(task, variables, config.tiles, workdir, options)
        return [line for size, found in parts.items() for line in breakdown.lines(size, found)]
    if routed(config):
        networks = {"dense": without_router(variables), "actual": variables}
    else:
        networks = {"dense": variables}
    networks = {name: jax.device_put(x) for name, x in networks.items()}
    made = benchmark.run(task, networks, config.tiles, workdir, options)
    path = workdir / "summary.json"
    if path.exists():
        files.write_json(path, summary.with_cost(files.read_json(path), made))
        build.build(workdir)
    return benchmark.lines(made)


def without_router(variables: Mapping) -> dict:
    """Dense-Unified alone: the backbone with the first expert's leaves, adapters left out."""
    shared = variables["params"]["backbone"]
    deltas = experts.flatten(variables["params"]["experts"])
    plain = experts.unflatten({name: x for name, x in deltas.items() if "/shell" not in name})
    return {"params": {"backbone": experts.choose(shared, plain, 0)}}


def attribute(
    config: ConfigDict, workdir: pathlib.Path, options: AttributeOptions
) -> Sequence[str]:
    """The attribution map of a window, as picture and record."""
    task, variables, _ = trained(config, workdir)
    made = attribution.run(task, variables, routed(config), options)
    return attribution.lines(made)
