"""The workdir of an imagined run, for tests: seeded rows, curves, cost and pictures."""

import pathlib

import numpy as np
from PIL import Image

from tests.evaluate import simulated
from wxjax import files
from wxjax.evaluate import summary

COST = {
    "device": "2-core CPU",
    "matmul_gflops": 51.3,
    "cases": [
        {"name": name, "size": [h, w], "flops_g": 30.1 * h * w / 262144 * more,
         "latency_ms": {"median": ms, "low": 0.96 * ms, "high": 1.09 * ms, "n": 9},
         "ms_per_mp": ms / (h * w / 1e6), "peak_mem_gb": 0.9, "efficiency": 0.31}
        for h, w in ((512, 512), (2160, 3840))
        for name, ms, more in (("dense", h * w / 400, 1.0), ("actual", h * w / 393, 1.01))
    ],
    "overhead": {"actual_over_dense": {"median": 1.018, "low": 1.006, "high": 1.031, "n": 9}},
}  # fmt: skip
BUDGET = {"presentations_dense": 1_200_000, "presentations_experts": 1_200_000}
META = {
    "backbone": "DehazeXL-structured, tiny", "version": "0.1.0", "commit": "0123abc", "seed": 0,
    "weights_hash": "9f2c51", "data_hash": "77aa01", "budget": BUDGET,
    "calibration": {"temperature": 1.31, "tau": 0.62},
}  # fmt: skip


def workdir(folder: pathlib.Path, per_task: int = 24, pictures: int = 3) -> pathlib.Path:
    """All that a finished run leaves, by the names the report looks for."""
    rows = simulated.rows(per_task, mixed=6)
    settings = {"tile": 512, "overlap": 64, "blend": "hann", "tta": False}
    found = summary.summarize(rows, settings=settings, meta=META, cost=COST)
    files.write_jsonl(folder / "per_image.jsonl", rows)
    files.write_json(folder / "summary.json", found)
    files.write_json(folder / "cost.json", COST)
    rng = np.random.default_rng(1)
    for stage, start in (("dense", 0.12), ("dehaze", 0.05), ("derain", 0.06), ("router", 0.9)):
        steps = range(0, 4000, 40)
        losses = [start * (0.25 + np.exp(-s / 900)) * rng.lognormal(0, 0.12) for s in steps]
        curve = [{"step": s, "train/loss": v} for s, v in zip(steps, losses, strict=True)]
        files.write_jsonl(folder / stage / "metrics.jsonl", curve)
    samples(folder / "samples", pictures)
    return folder


def samples(folder: pathlib.Path, count: int) -> None:
    """Pictures with one quiet truth and ever stronger veils over it."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, name in enumerate(("haze", "rain", "snow")[:count]):
        rng = np.random.default_rng(i)
        y, x = np.mgrid[0:240, 0:360] / 240
        truth = np.stack([0.3 + 0.4 * y, 0.35 + 0.2 * np.sin(3 * x + i), 0.6 - 0.4 * y], -1)
        truth += 0.15 * (np.sin(20 * x) * np.sin(20 * y) > 0.3)[..., None]
        spots = (rng.random((240, 360, 1)) > 0.97) * 0.5
        veils = {"input": 0.55, "dense": 0.2, "actual": 0.1, "target": 0.0}
        entry = {"id": f"{name}-{i:02d}", "degradation": name, "severity": 0.4 + 0.1 * i}
        entry |= {"psnr_input": 14.2, "psnr_actual": 26.9, "pmax": 0.93, "route": f"de{name}"}
        for kind, veil in veils.items():
            image = truth * (1 - veil) + 0.85 * veil + spots * veil
            pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
            entry[kind] = f"{name}_{kind}.png"
            Image.fromarray(pixels).save(folder / entry[kind])
        entries.append(entry)
    files.write_json(folder / "samples.json", entries)
