"""The tables of the card and the study, from the rows of `measure --routes=all`.

python -m experiments.weather_model.tables [ROWS]

Intervals are of the gain over the input: bootstrap over photographs, 10,000 resamples, 95 %.
"""

import collections
import pathlib
import sys

import numpy as np

from experiments.weather_model.measure import OWN, ROUTES
from wxjax import files

ROWS = "experiments/weather_model/results/pairs.json"


def interval(gains: list[float]) -> str:
    """Of the mean; nothing of fewer than three photographs."""
    if len(gains) < 3:
        return "-"
    rng = np.random.default_rng(0)
    means = rng.choice(gains, (10_000, len(gains))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"[{low:+.1f}, {high:+.1f}]"


def mean(rows: list[dict], variant: str, metric: str = "psnr") -> float:
    return float(np.mean([row[variant][metric] for row in rows]))


def main(path: str) -> None:
    rows = files.read_json(pathlib.Path(path))
    columns = "set n input routed gain,own expert,Dense,best route,SSIM,LPIPS,routes"
    names = columns.replace(" ", ",", 4).split(",")
    print("| " + " | ".join(names) + " |")
    print("|---" * len(names) + "|")
    for name in dict.fromkeys(row["dataset"] for row in rows):
        of = [row for row in rows if row["dataset"] == name]
        own = np.mean([r[ROUTES[OWN[r["kind"]]]]["psnr"] for r in of])
        best = np.mean([max(r[v]["psnr"] for v in (*ROUTES[:-1], "input")) for r in of])
        gains = [r["actual"]["psnr"] - r["input"]["psnr"] for r in of]
        counts = collections.Counter(row["route"] for row in of)
        routes = ", ".join(f"{route} {count}" for route, count in counts.most_common())
        print(
            f"| {name} | {len(of)} | {mean(of, 'input'):.1f} | {mean(of, 'actual'):.1f} "
            f"| {interval(gains)} | {own:.1f} | {mean(of, 'dense'):.1f} | {best:.1f} "
            f"| {mean(of, 'input', 'ssim'):.3f} -> {mean(of, 'actual', 'ssim'):.3f} "
            f"| {mean(of, 'input', 'lpips'):.3f} -> {mean(of, 'actual', 'lpips'):.3f} | {routes} |"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ROWS)
