"""Puts a trained weather model into the package.

python -m experiments.weather_model.ship WORKDIR [--name=weather]

WORKDIR is that of `wxjax --config=configs/weather.py`, with its `system/` finished. Weights
go to float16; `card.md` is written by hand and stays as it is.
"""

import pathlib
import sys

from wxjax import files, models
from wxjax.train import weights


def main(workdir: str, name: str = "weather") -> None:
    source, target = pathlib.Path(workdir), models.ROOT / name
    variables, about = weights.load(source / "system")
    config = files.read_json(source / "config.json")
    config["data"]["root"] = ""
    files.write_json(target / "config.json", config)
    weights.save(target / "system", weights.narrowed(variables), about)
    size = (target / "system" / "weights.npz").stat().st_size
    print(f"{target}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    main(*(word for word in sys.argv[1:] if not word.startswith("--")), **options)
