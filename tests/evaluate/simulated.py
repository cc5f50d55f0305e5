"""Rows of an imagined run, for tests: seeded, and of the size of real numbers."""

import numpy as np

from wxjax.evaluate.table import EXPERTS, ROUTES
from wxjax.task import DEGRADATIONS


def rows(per_task: int = 12, seed: int = 0, mixed: int = 0) -> list[dict]:
    """Input, dense, three experts and actual for `per_task` images a task."""
    rng = np.random.default_rng(seed)
    names = [(d, i) for d in DEGRADATIONS for i in range(per_task)]
    names += [("mixed", i) for i in range(mixed)]
    found = []
    for degradation, i in names:
        severity = round(float(rng.uniform(0.1, 0.9)), 3)
        label = DEGRADATIONS.index(degradation) if degradation in DEGRADATIONS else 0
        start = 24 - 8 * severity + rng.normal(0, 0.7)
        psnr = {"input": start, "dense": start + 4.5 + 3 * severity + rng.normal(0, 0.3)}
        for k, name in enumerate(EXPERTS):
            lead = 0.6 if k == label else -1.8
            psnr[name] = psnr["dense"] + lead + rng.normal(0, 0.25)
        logits = rng.normal(0, 1.2, 3)
        logits[label] += 4.5
        p = np.exp(logits) / np.exp(logits).sum()
        index = 0 if p.max() < 0.7 else 1 + int(p.argmax())
        psnr["actual"] = psnr[ROUTES[index]]
        for variant, value in psnr.items():
            row = {
                "id": f"{degradation}-{i:02d}",
                "dataset": "simulated",
                "degradation": degradation,
                "severity": severity,
                "variant": variant,
                "protocol": "default",
                "metrics": {
                    "psnr": float(value),
                    "ssim": float(1 - 0.6 * 10 ** (-value / 20) * 4),
                    "lpips": float(3 * 10 ** (-value / 20)),
                    "mse": float(10 ** (-value / 10)),
                },
                "cost": {},
            }
            if variant != "input":
                row["cost"] = {"latency_ms": 80.0 + i, "mem_gb": 1.5, "ms_per_mp": 400.0}
            if variant == "actual":
                row["moe"] = {
                    "type": "MoE-I",
                    "route": ROUTES[index],
                    "index": index,
                    "pmax": float(p.max()),
                    "p": p.tolist(),
                    "abstained": index == 0,
                }
            found.append(row)
    return found
