"""Top-p against top-k on one trained MoFME: experts kept, PSNR, time of every executor.

python -m experiments.mofme_routing.measure --workdir=runs/mofme

The weights are those of the run (trained with top-4); only the selection changes. Times are
CPU-seconds of one 256x256 picture, the best of `repeats`, all cases in turn in one process.
"""

import argparse
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.bench.mofme import cpu_seconds, product_rate
from wxjax import files, systems
from wxjax.data import sources
from wxjax.evaluate import runner
from wxjax.metrics import restoration
from wxjax.recipes import single, stages

CASES = {
    "top-4": dict(top_k=4, top_p=1.0),
    "top-p 0.6, at most 4": dict(top_k=4, top_p=0.6),
    "top-p 0.9, at most 4": dict(top_k=4, top_p=0.9),
    "top-1": dict(top_k=1, top_p=1.0),
    "all 8": dict(top_k=8, top_p=1.0),
}
EXECUTORS = ("dense", "folded", "blocked", "grouped", "skip")


def task_of(config: ConfigDict, **router):
    changed = stages.stage_config(config, config.stage, config.stage)
    changed.model.router.update(router)
    return systems.make(changed)


def quality(config: ConfigDict, variables, source) -> dict[str, dict]:
    """PSNR a kind and experts kept, by case."""
    found = {}
    for name, router in CASES.items():
        task = task_of(config, **router)
        restorer = runner.Restorer(task, variables, config.tiles)
        rows, kept = [], {}
        for i in range(len(source)):
            example = source[i]
            restored, said = restorer(example["image"])
            gap = (runner.round8(restored).astype(np.float64) - example["target"]) / 255
            psnr = -10 * np.log10((gap**2).mean())
            kind = example["kind"]
            rows.append({"degradation": kind, "metrics": {"psnr": float(psnr)}})
            kept.setdefault(kind, []).append(said["gate_count"][0])
        means = {kind: float(np.mean(values)) for kind, values in kept.items()}
        found[name] = {**restoration.summarize(rows), "kept": means}
        found[name]["kept_mean"] = float(np.mean(list(means.values())))
        found[name]["kept_by_block"] = np.mean(sum(kept.values(), []), 0).tolist()
        print(name, found[name], flush=True)
    return found


def times(config: ConfigDict, variables, image: np.ndarray, repeats: int) -> dict[str, dict]:
    """CPU-seconds of one picture by case and executor."""
    programs = {}
    batch = {"image": image[None].astype(np.float32) / 255}
    for name in ("top-4", "top-p 0.6, at most 4"):
        for executor in EXECUTORS:
            task = task_of(config, **CASES[name], executor=executor)
            program = jax.jit(task.predict).lower(variables, batch).compile()
            jax.block_until_ready(program(variables, batch))
            programs[name, executor] = program
    spent: dict = {key: [] for key in programs}
    for _ in range(repeats):
        for key, program in programs.items():
            start = cpu_seconds()
            jax.block_until_ready(program(variables, batch))
            spent[key].append(cpu_seconds() - start)
    out: dict[str, dict] = {}
    for (name, executor), values in spent.items():
        out.setdefault(name, {})[executor] = min(values)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mofme"))
    parser.add_argument("--repeats", type=int, default=7)
    out = pathlib.Path("experiments/mofme_routing/results.json")
    parser.add_argument("--out", type=pathlib.Path, default=out)
    arguments = parser.parse_args()
    config = ConfigDict(files.read_json(arguments.workdir / "config.json"))
    _, variables, _ = single.system(config, arguments.workdir)
    source = sources.open(config.data, "test")
    image = np.resize(source[0]["image"], (256, 256, 3))
    image = source[0]["image"][:256, :256] if min(source[0]["image"].shape[:2]) >= 256 else image
    made = {
        "times": times(config, jax.device_put(variables), image, arguments.repeats),
        "rate": product_rate(),
        "quality": quality(config, variables, source),
    }
    files.write_json(arguments.out, made)
    print(made["times"])


if __name__ == "__main__":
    main()
