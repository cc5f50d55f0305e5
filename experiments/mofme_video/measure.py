"""The frame before as a reference, against frame by frame: one trained run, read again.

python -m experiments.mofme_video.measure --workdir=runs/mofme_video

Writes results.json (means of `video.json`, drift without its curve, expert weights) and
the two figures of the run beside this file.
"""

import argparse
import pathlib
import shutil

import numpy as np

from wxjax import files

HERE = pathlib.Path("experiments/mofme_video")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mofme_video"))
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    arguments = parser.parse_args()
    made = files.read_json(arguments.workdir / "video.json")
    drift = {
        name: {
            "change": entry["change"],
            "mean": float(np.mean(entry["psnr"][1:])),
            "first": entry["psnr"][0],
            "least": min(entry["psnr"][1:]),
        }
        for name, entry in made["drift"].items()
    }
    kept = ("model", "protocol", "flow", "clips", "variants", "gates", "weights_hash", "commit")
    files.write_json(
        arguments.out / "results.json", {**{k: made.get(k) for k in kept}, "drift": drift}
    )
    for name in ("experts", "drift"):
        shutil.copy(arguments.workdir / "figures" / f"{name}.png", arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
