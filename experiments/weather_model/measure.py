"""PSNR, SSIM and LPIPS of a weather model on pairs, by data set and route.

python -m experiments.weather_model.measure PAIRS MODEL [--routes=own|all] [--out=FILE]

PAIRS holds `pairs.csv` (kind, stem, dataset) and KIND/input, KIND/gt. MODEL is a folder that
restore takes, `weather` for the one that ships, or the work folder of a joint training,
whose newest averaged weights are taken. Pictures are made smaller to a long side of 1024
where they are larger. `own` runs the expert of the set's weather alone, and PSNR alone;
`all` every route and the router's choice, with all metrics.
"""

import csv
import pathlib
import sys

import cv2
import numpy as np

from wxjax import files
from wxjax.data import sources
from wxjax.evaluate.stream import Streamer
from wxjax.metrics import restoration
from wxjax.systems.moei import training

LONGEST = 1024
OWN = {"haze": 1, "rain": 2, "raindrop": 2, "snow": 3, "snow_synth": 3}
ROUTES = ("dense", "dehaze", "derain", "desnow", "leave")


def smaller(rgb: np.ndarray) -> np.ndarray:
    h, w = rgb.shape[:2]
    scale = LONGEST / max(h, w)
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA)


def pairs(root: pathlib.Path):
    """(data set, kind, id, input, truth) of every pair, uint8."""
    with open(root / "pairs.csv") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        folder = root / row["kind"]
        paths = [next((folder / part).glob(row["stem"] + ".*")) for part in ("input", "gt")]
        image, truth = (smaller(sources.read_uint8(path)) for path in paths)
        name = row["dataset"].split(" (")[0].split(":")[0]
        name = "snow masks" if row["kind"] == "snow_synth" else name
        if row["kind"] == "raindrop":
            name = "Raindrop"
        yield name, row["kind"], f"{row['kind']}/{row['stem']}", image, truth


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a / 255.0 - b / 255.0) ** 2).mean() + 1e-12))


def table(rows: list[dict], column: str) -> str:
    """Means by data set."""
    lines = []
    for name in dict.fromkeys(row["dataset"] for row in rows):
        of = [row for row in rows if row["dataset"] == name]
        variants = [key for key, value in of[0].items() if isinstance(value, dict)]
        cells = (f"{v} {np.mean([row[v][column] for row in of]):.3f}" for v in variants)
        lines.append(f"{name:42s} {len(of):3d}  " + "  ".join(cells))
    return "\n".join(lines)


def main(root: str, model: str, routes: str, out: str | None) -> None:
    task, variables, tiles = training.load(pathlib.Path(model))
    run = Streamer(task, variables, tiles)
    rows = []
    for name, kind, key, image, truth in pairs(pathlib.Path(root)):
        row = {"dataset": name, "kind": kind, "id": key}
        if routes == "own":
            restored, _ = run(image, OWN[kind])
            row |= {"input": {"psnr": psnr(image, truth)}, "own": {"psnr": psnr(restored, truth)}}
        else:
            images = {"input": image}
            for i, route in enumerate(ROUTES[:-1]):
                images[route] = run(image, i)[0]
            images["actual"], said = run(image, -1)
            row["route"] = ROUTES[int(said["route"][0])]
            row["p"] = np.round(said["weights"][0], 4).tolist()
            for variant, picture in images.items():
                given = {"image": picture[None]}, {"target": truth[None]}
                found = restoration.measure(*given, protocol="default", crop_border=0)
                row[variant] = {k: float(x[0]) for k, x in found.items()}
        rows.append(row)
    print(table(rows, "psnr"))
    if out:
        files.write_json(pathlib.Path(out), rows)


if __name__ == "__main__":
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    given = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(*given, flags.get("routes", "own"), flags.get("out"))
