"""Clips of folders of frames: RVSD, NTURain, or plain input/ and gt/; and the embedded ones.

A clip example is a photograph's (`sources.py`) with a leading axis of frames.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.data import films, images, names, records, sources

NAMES = ("embedded", "path")
PAIRS = (("snow", "clean"), ("input", "gt"), ("blur", "gt"), ("rain", "gt"))
HELD_OUT = 10  # one training clip in so many is for validation


@dataclasses.dataclass(frozen=True)
class Film:
    """A clip as files: degraded frames in order, and true ones with the same names."""

    name: str
    split: str
    kind: str
    dataset: str
    inputs: tuple[pathlib.Path, ...]
    targets: tuple[pathlib.Path, ...] = ()


def natural(name: str) -> list:
    """A key that sorts frame 10 after frame 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def scan(root: os.PathLike | str) -> list[Film]:
    """The clips of a folder, in one of three layouts.

    RVSD: {train,test}/{snow,clean}/<video>/<frame>.jpg (also blur/gt, rain/gt, input/gt);
    NTURain: Dataset_{Training,Testing}_*/<name>_Rain/ and <name>_GT/, or those folders
    alone; and <video>/{input,gt}/<frame>, or input/ and gt/ of a single clip. Frames pair
    by their names without suffix. The split 'train' is divided: one clip in ten, by name,
    is for validation.

    Raises:
      InputError: where nothing is found, or a pair does not fit.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise errors.bad("data.root", str(root), "expected a folder of clips")
    found = [*_rvsd(root), *_nturain(root), *_plain(root)]
    if not found:
        raise errors.bad(
            "data.root",
            str(root),
            "expected {train,test}/{snow,clean}/VIDEO/ (RVSD), NAME_Rain/ and NAME_GT/ "
            "(NTURain), or VIDEO/{input,gt}/",
        )
    return sorted(found, key=lambda film: (film.split, natural(film.name)))


def _rvsd(root: pathlib.Path) -> list[Film]:
    found = []
    for split in ("train", "test"):
        for bad, good in PAIRS:
            folder = root / split / bad
            if not (folder.is_dir() and (root / split / good).is_dir()):
                continue
            kind = bad if bad in records.DEGRADATIONS else "unknown"
            for clip in sorted(p for p in folder.iterdir() if p.is_dir()):
                true = root / split / good / clip.name
                dataset = "rvsd" if bad == "snow" else root.name
                found.append(_film(clip.name, split, kind, dataset, clip, true))
    return found


def _nturain(root: pathlib.Path) -> list[Film]:
    found = []
    for clip in sorted(p for p in root.glob("**/*_Rain") if p.is_dir()):
        name = clip.name.removesuffix("_Rain")
        split = "train" if "Training" in clip.parent.name else "test"
        true = clip.with_name(f"{name}_GT")
        found.append(_film(name, split, "rain", "nturain", clip, true if true.is_dir() else None))
    return found


def _plain(root: pathlib.Path) -> list[Film]:
    clips = [root, *sorted(p for p in root.iterdir() if p.is_dir() and not p.name[0] == ".")]
    found = []
    for clip in clips:
        bad, good = clip / "input", clip / "gt"
        if bad.is_dir() and any(p.is_file() for p in bad.iterdir()):
            true = good if good.is_dir() else None
            kind = next((k for k in records.DEGRADATIONS if k in clip.name.lower()), "unknown")
            kind = "rain" if "nturain" in str(clip).lower() else kind
            found.append(_film(clip.name, "test", kind, root.name, bad, true))
    return found


def frames_of(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """The pictures of a folder in their natural order."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES and p.is_file()]
    return tuple(sorted(found, key=lambda path: natural(path.name)))


def _film(name, split, kind, dataset, bad, good) -> Film:
    inputs = frames_of(bad)
    if not inputs:
        raise errors.InputError(f"{str(bad)!r}: no frame in this folder.")
    if good is None:
        return Film(name, split, kind, dataset, inputs)
    by_stem = {names.stem(path): path for path in frames_of(good)} if good.is_dir() else {}
    missing = [path.name for path in inputs if names.stem(path) not in by_stem]
    if missing:
        raise errors.InputError(
            f"{name}: {len(missing)} of {len(inputs)} frames have no truth in {str(good)!r}, "
            f"first {missing[0]}. Cure: frames pair by name; complete or remove the clip."
        )
    targets = tuple(by_stem[names.stem(path)] for path in inputs)
    return Film(name, split, kind, dataset, inputs, targets)


class Folder:
    """Whole clips, or with `frames` every run of so many frames at a stride of as many."""

    clips = True

    def __init__(self, found: Sequence[Film], frames: int = 0):
        self.films, self.frames = list(found), frames
        self._cuts = [
            (film, start)
            for film in self.films
            for start in range(0, len(film.inputs) - (frames or len(film.inputs)) + 1, frames or 1)
        ]

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        film, start = self._cuts[index]
        stop = start + (self.frames or len(film.inputs))
        kind = film.kind
        known = kind in records.DEGRADATIONS
        example = {
            "id": f"{film.split}/{film.name}/{start:05d}" if self.frames else film.name,
            "image": _stack(film.inputs[start:stop]),
            "kind": kind,
            "degradation": np.int32(records.DEGRADATIONS.index(kind) if known else -1),
            "severity": np.float32(np.nan),
            "index": np.int32(index),
            "scene": film.name,
            "dataset": film.dataset,
        }
        if film.targets:
            example["target"] = _stack(film.targets[start:stop])
            if example["target"].shape != example["image"].shape:
                raise errors.InputError(
                    f"{film.name}: frames {example['image'].shape[1:3]}, truth "
                    f"{example['target'].shape[1:3]}: expected one size. Nothing is resized."
                )
        return example

    def items(self) -> dict[str, str]:
        out = {}
        for film in self.films:
            files = (*film.inputs, *film.targets)
            sizes = sum(os.stat(path).st_size for path in files)
            out[f"{film.split}/{film.name}"] = f"{len(files)} files, {sizes} bytes"
        return out

    def kinds(self) -> list[str]:
        return [film.kind for film, _ in self._cuts]

    def __repr__(self) -> str:
        return f"clips({len(self)}, {self.frames}, {sources.fingerprint(self)[:16]})"


def _stack(paths: Sequence[pathlib.Path]) -> np.ndarray:
    frames = [sources.read_uint8(path) for path in paths]
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise errors.InputError(f"{str(paths[0].parent)!r}: frames of {len(sizes)} sizes.")
    return np.stack(frames)


def open(config: Any, split: str):
    """The clips that a run's `config.data` names, for one split; train in runs of `frames`.

    Raises:
      InputError: for an unknown name, a missing folder, a split without clips.
    """
    if config.name == "embedded":
        train = split == "train"
        return films.Clips(
            split,
            seed=config.seed if train else 0,
            crop=config.crop if train else config.get(f"{split}_crop", config.eval_crop),
            count=config.count if train else config.get(f"{split}_count", config.eval_count),
            frames=config.frames if train else config.get(f"{split}_frames", config.frames),
        )
    if config.name != "path":
        raise errors.unknown("config.data.name", config.name, NAMES)
    whole = split in ("test", "choice")
    return Folder(within(scan(config.root), split), 0 if whole else config.frames)


def within(found: Sequence[Film], split: str) -> list[Film]:
    """The clips of one split: of train, one in ten is for validation."""
    held = {film.name for i, film in enumerate(_named(found, "train")) if i % HELD_OUT == 0}
    if split in ("train", "val_router", "choice"):
        chosen = [f for f in _named(found, "train") if (f.name in held) == (split != "train")]
    else:
        chosen = _named(found, "test")
    if not chosen:
        raise errors.bad("split", split, "no clip is in it")
    return chosen


def _named(found: Sequence[Film], split: str) -> list[Film]:
    return [film for film in found if film.split == split]
