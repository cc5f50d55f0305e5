"""The source's ablations P0 to P5, and what ours adds, as runs of one command.

python -m experiments.irsr.ablations --list
python -m experiments.irsr.ablations --only P0 P1-db2 P3-kappa1 --data=DIR --workdir=runs/ablations

A variant is a run of configs/irsr.py with overrides; trained where it is missing, killed and
resumed as any run. P1 trains nothing: P0's weights under another wavelet. All are put in one
table on the same frames (`wxjax compare`).
"""

import argparse
import json
import pathlib
import subprocess
import sys
from typing import NamedTuple

from wxjax import files


class Variant(NamedTuple):
    """What is asked, and the overrides that answer it; `of` names whose weights are taken."""

    question: str
    overrides: tuple[str, ...] = ()
    of: str = ""


RAW = ("model.coordinates=raw",)
VARIANTS = {
    "P0": Variant("the method itself: Haar, 2 levels, packed, residual coordinates"),
    **{
        f"P1-{name}": Variant(
            f"{name} in place of Haar without training (0 iterations)",
            (f"codec.wavelet={name}",),
            of="P0",
        )
        for name in ("db2", "db4", "sym4", "bior2.2")
    },
    **{
        f"P2-{name}": Variant(f"{name}, trained", (f"codec.wavelet={name}",))
        for name in ("db2", "sym4", "bior2.2")
    },
    **{
        f"P3-kappa{k}": Variant(f"kappa {k} in place of 2", (f"diffusion.kappa={k}.0",))
        for k in (1, 4)
    },
    "P3-end0.8": Variant("a last sqrt(eta) of 0.8 in place of 0.99", ("diffusion.end=0.8",)),
    "P4": Variant(
        "1 level: 4 bands at half the large side",
        ("codec.levels=1", "model.unet.side=64", "model.unet.attention=(32,16)"),
    ),
    "P5": Variant(
        "3 levels: 64 bands at an eighth of it",
        ("codec.levels=3", "model.unet.side=16", "model.unet.attention=(16,8)"),
    ),
    "raw": Variant("without residual coordinates and the bands' own sizes", RAW),
    "ll": Variant("the source's LL codec", (*RAW, "codec.kind=ll")),
    "fullband": Variant("the source's FullBand codec", (*RAW, "codec.kind=fullband")),
    "allbands": Variant("the source's 21 of 48 numbers", (*RAW, "codec.kind=allbands")),
    "bands-pixel": Variant("band weights of the pixels' error", ("losses.bands=pixel",)),
    "bands-white": Variant("every whitened band alike", ("losses.bands=white",)),
    "mask-official": Variant("the published attention mask", ("model.unet.mask=official",)),
    "T4": Variant("a chain of 4 steps", ("diffusion.steps=4", "diffusion.min_noise=0.2")),
    "plan_b": Variant("the low band diffused, the others regressed", ("model.kind=plan_b",)),
    "plan_c": Variant("a light decoder beside the inverse transform", ("model.kind=plan_c",)),
    "cascade": Variant("the coarse level, then the fine one", ("model.kind=cascade",)),
}


def train(name: str, workdir: pathlib.Path, common: list[str]) -> pathlib.Path:
    """The variant's run under `workdir`, trained where it is missing."""
    variant, place = VARIANTS[name], workdir / name
    if variant.of:
        return swapped(train(variant.of, workdir, common), place, variant.overrides)
    words = [f"--config.{word}" for word in variant.overrides]
    command = [sys.executable, "-m", "wxjax.main", "--config=configs/irsr.py"]
    subprocess.run([*command, f"--workdir={place}", *words, *common], check=True)
    return place


def swapped(run: pathlib.Path, place: pathlib.Path, overrides: tuple[str, ...]) -> pathlib.Path:
    """A run's weights under another config."""
    config = json.loads((run / "config.json").read_text())
    for word in overrides:
        name, value = word.split("=")
        group, key = name.split(".")
        config[group][key] = value
    for file in (run / "system").iterdir():
        files.write_bytes(place / "system" / file.name, file.read_bytes())
    files.write_json(place / "config.json", config)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--list", action="store_true", help="say what each variant asks")
    parser.add_argument("--data", help="HR/ with LR/; else the embedded test split")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/irsr-ablations"))
    given, common = parser.parse_known_args()
    if given.list:
        for name, variant in VARIANTS.items():
            print(f"{name:14s} {variant.question}: {' '.join(variant.overrides) or 'no change'}")
        return
    places = [str(train(name, given.workdir, common)) for name in given.only]
    data = [f"--data={given.data}"] if given.data else []
    command = [sys.executable, "-m", "wxjax.main", "compare", *places, *data]
    subprocess.run([*command, f"--out={given.workdir / 'table'}"], check=True)


if __name__ == "__main__":
    main()
