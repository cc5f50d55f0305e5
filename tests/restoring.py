"""What tests of restoring share: pictures to and from files, and their distance."""

import pathlib

import numpy as np
import PIL.Image

ROOT = pathlib.Path(__file__).parents[1]


def save(path: pathlib.Path, rgb: np.ndarray) -> None:
    PIL.Image.fromarray(rgb).save(path)


def load(path: pathlib.Path) -> np.ndarray:
    return np.asarray(PIL.Image.open(path).convert("RGB"))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a / 255.0 - b / 255.0) ** 2).mean() + 1e-12))
