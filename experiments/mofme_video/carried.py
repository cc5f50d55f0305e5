"""One network's reference withheld, left where it was, and carried along the motion.

python -m experiments.mofme_video.carried --workdir=runs/mofme_video
python -m experiments.mofme_video.carried --tone=8      # tones from the frame, trained so or not

The same weights in all rows: what the reference shows is all that differs. PSNR of the
written 8-bit frames, temporal scores of `systems/mofme/temporal.py`, by test clip.
"""

import argparse
import pathlib

import numpy as np
from ml_collections import ConfigDict

from wxjax import files, systems
from wxjax.data import clips
from wxjax.recipes import single, stages
from wxjax.systems.mofme import measure as streaming
from wxjax.systems.mofme import temporal
from wxjax.systems.mofme.recipe import psnr

ROWS = {"withheld": (False, False), "left": (True, False), "carried": (True, True)}
HERE = pathlib.Path("experiments/mofme_video")


def streamers(
    config: ConfigDict, variables, tone: float | None = None
) -> dict[str, streaming.Streamer]:
    """A stream a row: whether it remembers, and whether the reference follows.

    `tone` replaces the run's `video.align.tone`.
    """
    out = {}
    for name, (remember, follow) in ROWS.items():
        changed = stages.stage_config(config, config.stage, config.stage)
        changed.video.align = {**config.video.get("align", {}), "follow": follow}
        if tone is not None:
            changed.video.align.tone = tone
        out[name] = streaming.Streamer(systems.make(changed), variables, remember)
    return out


def dark(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean error of every frame's darkest 30 % of true pixels, in grey levels."""
    out = []
    for frame, true in zip(clip, truth, strict=True):
        grey = true.mean(-1)
        out.append((frame.astype(np.float32) - true)[grey < np.percentile(grey, 30)].mean())
    return np.array(out)


def measure(rows: dict[str, streaming.Streamer], example: dict) -> dict[str, dict]:
    """Scores of one clip by row, and of its input."""
    out = {"input": {"clip": example["image"]}}
    for name, stream in rows.items():
        clip, notes = streaming.restore(stream, example["image"])
        covered = [float(note["covered"]) for note in notes]
        spent = float(np.median([note["latency_ms"] for note in notes]))
        out[name] = {"clip": clip, "covered": covered, "latency_ms": spent}
    for name, entry in out.items():
        clip = entry.pop("clip")
        entry |= {"psnr": psnr(clip, example["target"]).round(4).tolist()}
        entry |= temporal.measure(clip, example["target"]) if len(clip) < 100 else {}
        entry["dark"] = dark(clip, example["target"]).round(2).tolist()
        values = entry["psnr"]
        print(example["id"], name, *np.round([values[0], values[5], values[-1]], 2), flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mofme_video"))
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "carried.json")
    parser.add_argument("--tone", type=float, help="pixels; the run's own if not given")
    parser.add_argument("--drift", action="store_true", help="the pan of 200 frames too")
    arguments = parser.parse_args()
    config = ConfigDict(files.read_json(arguments.workdir / "config.json"))
    _, variables, about = single.system(config, arguments.workdir)
    rows = streamers(config, variables, arguments.tone)
    made = {}
    for split in ("test", "drift")[: 1 + arguments.drift]:
        source = clips.open(config.data, split)
        for i in range(len(source)):
            example = source[i]
            made[example["id"]] = measure(rows, example)
    files.write_json(arguments.out, {"clips": made, "flow": temporal.FLOW, **about})
    shown = [entry for name, entry in made.items() if name.startswith("test")]
    for row in ("input", *ROWS):
        scores = {
            name: np.mean([np.mean(entry[row][name]) for entry in shown])
            for name in ("psnr", "warping", "tof", "difference", "covered")
            if name in shown[0][row]
        }
        print(row, {name: round(float(value), 5) for name, value in scores.items()})


if __name__ == "__main__":
    main()
