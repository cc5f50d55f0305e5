"""Seams of tiled restoration: how much a picture changes across the grid, and off it.

python -m experiments.seams.measure --workdir=runs/moei --out=results/seams
"""

import argparse
import pathlib
import time

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from wxjax import commands, files
from wxjax.evaluate import averaging, runner
from wxjax.recipes import evidence

SIZE = (400, 512)  # of every picture: one program a case
TOKEN, PATCH = 16, 4  # pixels: lattices that the network itself has
CASES = {  # tile, overlap, mode, shifts that are averaged
    "plain 256": (256, 0, "global", 1),
    "overlap 32": (256, 32, "global", 1),
    "overlap 64": (256, 64, "global", 1),
    "overlap 128": (256, 128, "global", 1),
    "overlap 32, local": (256, 32, "local", 1),
    "one tile of 512": (512, 0, "global", 1),
    "overlap 32, 2 shifts": (256, 32, "global", 2),
    "overlap 32, 4 shifts": (256, 32, "global", 4),
}
SHIFTS = {1: averaging.SHIFTS[:1], 2: ((0, 0), (10, 10)), 4: averaging.SHIFTS}


def pictures() -> dict[str, np.ndarray]:
    """Photographs under a veil that thickens towards the top, `[h w 3]` uint8.

    All of them go through the dehazing expert.
    """
    clear = {
        "sky": load_sample_image("china.jpg"),
        "astronaut": data.astronaut(),
        "coffee": data.coffee(),
    }
    hazy = {}
    for name, picture in clear.items():
        picture = picture[: SIZE[0], : SIZE[1]]
        t = np.linspace(0.4, 0.9, picture.shape[0])[:, None, None]
        hazy[name] = np.round(picture * t + 230 * (1 - t)).astype(np.uint8)
    white = np.linspace(250, 200, SIZE[0])[:, None, None] * np.array([0.92, 0.97, 1.0])
    hazy["empty sky"] = np.round(np.broadcast_to(white, (*SIZE, 3))).astype(np.uint8)
    return hazy


def energies(change: np.ndarray, tile: int, overlap: int) -> dict[str, float | None]:
    """Mean step of `change` between neighbours, in 1/255, by where the two lie.

    `change` is output minus input: the picture's own edges are not in it. 'tiles': across
    the lines where a tile begins or ends; 'tokens', 'patches': across the other lines of
    the network's lattices; 'elsewhere': what no border explains.
    """
    found: dict[str, list] = {"tiles": [], "tokens": [], "patches": [], "elsewhere": []}
    for field in (change, change.swapaxes(0, 1)):
        profile = np.abs(np.diff(field, axis=0)).mean((1, 2)) * 255
        at = np.arange(1, len(profile) + 1)
        stride = tile - overlap
        tiles = (at >= stride) & ((at % stride == 0) | (at % stride == overlap))
        tokens = ~tiles & (at % TOKEN == 0)
        patches = ~tiles & ~tokens & (at % PATCH == 0)
        for name, where in zip(found, (tiles, tokens, patches, at % PATCH != 0), strict=True):
            found[name].append(profile[where])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: float(v.mean()) if len(v) else None for name, v in joined.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default="runs/moei")
    parser.add_argument("--out", type=pathlib.Path, default="results/seams")
    options = parser.parse_args()
    commands.use_compilation_cache()
    config = ConfigDict(files.read_json(options.workdir / "config.json"))
    rows, restorers, times = [], {}, {}
    scenes = pictures()
    for name, (tile, overlap, mode, _) in CASES.items():
        config.tiles.update({"tile": tile, "overlap": overlap, "mode": mode})
        task, variables, _ = evidence.system(config, options.workdir)
        restorers[name] = runner.Restorer(
            task, variables, config.tiles.copy_and_resolve_references()
        )
    for scene, picture in scenes.items():
        for name, (tile, overlap, _, count) in CASES.items():
            run = averaging.Averaged(restorers[name], SHIFTS[count])
            run(picture, force=np.int32(1))  # compiles
            start = time.process_time()
            output = run(picture, force=np.int32(1))[0]
            times.setdefault(name, []).append(time.process_time() - start)
            found = energies(output - picture / np.float32(255), tile, overlap)
            rows.append({"scene": scene, "case": name, **found})
            shown = np.round(np.clip(output, 0, 1) * 255).astype(np.uint8)
            with files.atomic(options.out / f"{scene}-{name}.png".replace(" ", "-")) as handle:
                Image.fromarray(shown).save(handle, format="PNG")
    base = sum(times["plain 256"])
    for name in CASES:
        mean = {
            key: np.mean([row[key] or np.nan for row in rows if row["case"] == name])
            for key in ("tiles", "tokens", "patches", "elsewhere")
        }
        shown = " | ".join(f"{value:.2f}" for value in mean.values())
        print(f"| {name} | {shown} | {sum(times[name]) / base:.2f} |")
    files.write_json(options.out / "rows.json", {"rows": rows, "seconds": times})
    print(f"device: {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
