"""Folders of infrared frames: data sets as they come, plain folders, and pairs HR / LR.

| data set | what is read | split by |
|---|---|---|
| M3FD | Ir/*.png | scene number |
| FLIR ADAS | images_thermal_{train,val}/data, thermal_8_bit, or thermal_16_bit | folder |
| KAIST | setNN/VNNN/lwir/*.jpg | set: 00 to 05 train, 06 to 11 test |
| CVC-14 | {Day,Night}/FIR/{Train,NewTest}/FramesPos, FramesNeg | folder |
| TNO | any folder below: *_LWIR*, *IR*, II* beside *_Vis*, *VIS* | scene |
| pairs | HR/ with LR/ beside it, LR's stems with or without x4 | folder |
| anything else | every picture below | folder, else by hash |
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from wxjax import errors
from wxjax.data import images, names, passed, records
from wxjax.data.formats.kinds import SUFFIXES, note

SHARES = {"train": 0.85, "val": 0.05, "test": 0.10}


@dataclasses.dataclass(frozen=True)
class Frame:
    """A file, and the small one it comes with; `split` is empty where no folder tells it."""

    id: str
    path: pathlib.Path | None
    scene: str
    split: str = ""
    small: pathlib.Path | None = None


class Frames:
    """Frames read when asked for."""

    def __init__(self, found: Sequence[Frame], root: pathlib.Path, name: str, scale: int):
        self.found, self.root, self.name, self.scale = list(found), root, name, scale

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> dict[str, Any]:
        frame = self.found[index]
        example = {
            "id": frame.id,
            "scene": frame.scene,
            "dataset": self.root.resolve().name or "folder",
            "kind": "infrared",
            "index": np.int32(index),
        }
        if frame.path is not None:
            example["target"] = pixels(images.read(frame.path))
        if frame.small is not None:
            example["image"] = pixels(images.read(frame.small))
        if "image" in example and "target" in example:
            example["target"] = self._fitting(frame, example)
        return example

    def _fitting(self, frame: Frame, example: dict[str, Any]) -> np.ndarray:
        """The target, without the rows and columns that the small frame does not cover."""
        large, small = example["target"], example["image"]
        h, w = (n * self.scale for n in small.shape[:2])
        extra = (large.shape[0] - h, large.shape[1] - w)
        if not all(0 <= n < self.scale for n in extra):
            sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (large, small)]
            raise errors.InputError(
                f"{frame.id}: {frame.path} is {sizes[0]}, {frame.small} is {sizes[1]}: expected "
                f"a factor of {self.scale}. Is the pair the right one?"
            )
        if large.shape[2] != small.shape[2]:
            example["image"] = grey(small)
            large = grey(large)
        return large[:h, :w]

    def items(self) -> dict[str, str]:
        """id -> what tells one file from another: paths and their sizes in bytes."""
        return {
            frame.id: " ".join(
                f"{path.relative_to(self.root).as_posix()}:{os.stat(path).st_size}"
                for path in (frame.path, frame.small)
                if path is not None
            )
            for frame in self.found
        }

    def __repr__(self) -> str:
        from wxjax.data.inventories import fingerprint

        return f"{self.name}({len(self)}, {fingerprint(self)[:16]})"


def pixels(picture: images.Picture) -> np.ndarray:
    """A frame at its own depth: `[h w 1]` where all channels are equal, else `[h w 3]`.

    No value is stretched: 16 bits stay what the camera counted. Transparency is dropped.

    Raises:
      InputError: for floats, and layouts other than grey and RGB.
    """
    x, layout = images.single(picture).pixels, picture.layout
    if x.dtype == np.float32:
        cure = "Scale them to 16 bits, and keep the scale: no value is stretched silently."
        raise errors.bad(repr(picture.name), "floats", "expected 8 or 16 bits", cure)
    if layout.startswith("grey"):
        return np.ascontiguousarray(x[..., :1])
    if not layout.startswith("rgb"):
        raise errors.bad(repr(picture.name), layout, "expected a grey or an RGB frame")
    x = x[..., :3]
    equal = (x[..., 0] == x[..., 1]).all() and (x[..., 0] == x[..., 2]).all()
    return np.ascontiguousarray(x[..., :1] if equal else x)


def grey(x: np.ndarray) -> np.ndarray:
    """`[h w 1]`: the one channel, or the luma of three, at its own depth."""
    if x.shape[-1] == 1:
        return x
    luma = x.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.floor(luma + 0.5).astype(x.dtype)[..., None]


def folder(root: os.PathLike | str, scale: int = 4) -> Frames:
    """Every frame of a folder in one of the layouts at the top of this module.

    Raises:
      InputError: where nothing is found, or a small frame has no large one.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise errors.bad("data", str(root), "expected a folder of frames")
    for name, reader in LAYOUTS.items():
        found = reader(root)
        if found:
            passed.say(root, passed.count(root))
            return Frames(found, root, name, scale)
    raise errors.InputError(
        f"{root}: no frames found; expected {note()}. {passed.line(passed.count(root))}".strip()
    )


def within(source: Frames, split: str) -> Frames:
    """The frames of one split, whole scenes only.

    Scenes are shared out by a hash of their names where no folder tells the split (85 %
    train, 5 % val, 10 % test); where there is train and no val, 5 % of train's are val,
    and where there is train and no test, val is the test as well.
    """
    named = {frame.split for frame in source.found} - {""}

    def part(frame: Frame) -> str:
        key = f"{source.name}/{frame.scene}"
        if not named:
            return records.split_of(key, SHARES)
        if frame.split == "train" and "val" not in named:
            return records.split_of(key, {"train": 0.95, "val": 0.05})
        return frame.split

    wanted = "val" if split == "test" and named and "test" not in named else split
    found = [frame for frame in source.found if part(frame) == wanted]
    if not found:
        raise errors.bad("split", split, f"no frame of {source.root} is in it")
    return Frames(found, source.root, f"{source.name}:{split}", source.scale)


def pictures(root: pathlib.Path) -> list[pathlib.Path]:
    """Every picture below a folder, sorted; names that begin with a dot are left out."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]


def split_named(parts: Sequence[str]) -> str:
    """train, val or test, from the innermost folder that says it."""
    for part in reversed(parts):
        found = re.search(r"(?<![a-z])(train|val|test)", part.lower().replace("newtest", "test"))
        if found:
            return found[1]
    return ""


def _frame(root: pathlib.Path, path: pathlib.Path, scene: str, split: str) -> Frame:
    place = path.relative_to(root)
    return Frame("-".join((*place.parts[:-1], path.stem)), path, scene, split)


def pairs(root: pathlib.Path) -> list[Frame]:
    """HR beside LR, in the root or up to two levels below; LR alone has no truth."""
    found: list[Frame] = []
    folders = [
        root,
        *(p for p in root.glob("*") if p.is_dir()),
        *(p for p in root.glob("*/*") if p.is_dir()),
    ]
    for place in sorted(folders):
        inside = {p.name.lower(): p for p in place.iterdir() if p.is_dir()}
        if "lr" not in inside:
            continue
        large = {names.stem(p): p for p in pictures(inside["hr"])} if "hr" in inside else {}
        small = {re.sub(r"x\d$", "", names.stem(p)): p for p in pictures(inside["lr"])}
        lost = sorted(small.keys() ^ large.keys()) if large else []
        if lost:
            shown = ", ".join(lost[:6]) + (" ..." if lost[6:] else "")
            raise errors.InputError(
                f"{place}: HR and LR do not go together: {shown} in one of them only. Pairs go "
                "by file name, LR's with or without x4 at its end."
            )
        parts = place.relative_to(root).parts
        for stem, path in sorted(small.items()):
            name = "-".join((*parts, stem))
            found.append(Frame(name, large.get(stem), name, split_named(parts), path))
    return found


def m3fd(root: pathlib.Path) -> list[Frame]:
    """Ir beside Vis: M3FD's detection and fusion halves alike."""
    inside = {p.name.lower(): p for p in root.iterdir() if p.is_dir()}
    if "ir" not in inside or "vis" not in inside:
        return []
    return [_frame(root, path, path.stem, "") for path in pictures(inside["ir"])]


def flir(root: pathlib.Path) -> list[Frame]:
    """FLIR ADAS v1 (train/thermal_8_bit) and v2 (images_thermal_train/data)."""
    found = []
    for path in pictures(root):
        parts = path.relative_to(root).parts[:-1]
        if any(re.fullmatch(r"(images_)?thermal(_\w+)?", part.lower()) for part in parts):
            clip = re.match(r"video-([^-]+)", path.stem)
            scene = clip[1] if clip else path.stem
            found.append(_frame(root, path, scene, split_named(parts)))
    return found


def kaist(root: pathlib.Path) -> list[Frame]:
    """set00/V000/lwir/I00000.jpg; sets 00 to 05 are for training."""
    found = []
    for path in pictures(root):
        parts = path.relative_to(root).parts
        numbered = next((m for p in parts if (m := re.fullmatch(r"set(\d\d)", p.lower()))), None)
        if numbered and path.parent.name.lower() == "lwir":
            split = "train" if int(numbered[1]) < 6 else "test"
            found.append(_frame(root, path, "-".join(parts[:-2]), split))
    return found


def cvc14(root: pathlib.Path) -> list[Frame]:
    """Day/FIR/Train/FramesPos and its kin."""
    found = []
    for path in pictures(root):
        parts = path.relative_to(root).parts[:-1]
        if any(part.lower() == "fir" for part in parts) and path.parent.name.startswith("Frames"):
            # Frames follow each other at 10 a second: a split in their middle would leak.
            scene = "-".join((*parts[:-1], path.stem.split("_")[0][:8]))
            found.append(_frame(root, path, scene, split_named(parts)))
    return found


def tno(root: pathlib.Path) -> list[Frame]:
    """Scenes in folders of their own, thermal frames told by their names."""
    thermal = re.compile(r"(^|[_\-\d ])(lwir|mwir|fir|thermal|ir|ii)([_\-\d ]|$)", re.IGNORECASE)
    visible = re.compile(r"vis|nir|rgb|color|colour|fused|mask", re.IGNORECASE)
    every = pictures(root)
    if not any(visible.search(path.stem) for path in every):
        return []
    return [
        _frame(root, path, path.parent.relative_to(root).as_posix(), "")
        for path in every
        if thermal.search(path.stem) and not visible.search(path.stem)
    ]


def plain(root: pathlib.Path) -> list[Frame]:
    """Every picture below; HR/ alone among other folders is taken for all."""
    found = []
    for path in pictures(root):
        parts = path.relative_to(root).parts[:-1]
        found.append(_frame(root, path, "-".join((*parts, path.stem)), split_named(parts)))
    return found


LAYOUTS = {
    "pairs": pairs, "m3fd": m3fd, "kaist": kaist, "cvc14": cvc14, "flir": flir, "tno": tno,
    "frames": plain,
}  # fmt: skip
