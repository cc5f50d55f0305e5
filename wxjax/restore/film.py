"""One film as a job in segments: all that can be known is checked before its first frame."""

import hashlib
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wxjax import errors, files
from wxjax.data import containers, encoders, extent, fields, hdr, joining, segments, tracks, video
from wxjax.restore.job import Job, Stream, as_stored, told

__all__ = ["Film", "Stream", "as_stored", "told"]
_SIDES = {  # what a frame may bring that no encoder here writes
    "A53_CC": "closed captions in the picture stream",
    "DOVI_METADATA": "Dolby Vision data",
    "DOVI_RPU_BUFFER": "Dolby Vision data",
    "DYNAMIC_HDR_PLUS": "HDR10+ data",
    "DYNAMIC_HDR_VIVID": "HDR Vivid data",
    "SPHERICAL": "360-degree projection data",
    "STEREO3D": "stereoscopic data",
    "ICC_PROFILE": "the ICC profile of the frames",
    "FILM_GRAIN_PARAMS": "film grain parameters",
}
_LOSSY_BITS = 1.0  # a pixel, at most, of the lossy encoders at their settings
_SPARE = 64 << 20  # bytes of the disk that stay free


class Film(Job):
    """A video file; its output is `target` with the ending of the container it is written as.

    Raises:
      InputError: where the film cannot be read, or its encoder or container refuses it.
    """

    def __init__(
        self,
        source: pathlib.Path,
        target: pathlib.Path,
        key: str,
        overwrite: bool,
        codec: str = "auto",
    ):
        if not source.exists():
            shown = containers.printable(source)
            raise errors.InputError(f"cannot read {shown!r}: no such file or folder.")
        if not source.is_file():
            shown = containers.printable(source)
            raise errors.InputError(f"cannot read {shown!r}: expected a file, it is none.")
        suffix = target.suffix.lower()
        self.about = video.info(source)
        self.extent = extent.measure(source)
        chosen = encoders.choose(self.about, suffix, codec)
        self.plan = joining.plan(source, self.about, chosen, self.extent)
        self.named = target  # as the source; the container may ask for another ending
        if chosen.suffix != suffix:
            target = target.with_suffix(chosen.suffix)
        super().__init__(source, target, key, overwrite)
        self.notes = self._notes()

    def _notes(self) -> list[str]:
        said = [fields.SAID] if self.about.interlaced else []
        side = {text for name, text in _SIDES.items() if name in self.about.side}
        if self.plan.target.codec in ("h264", "hevc") and self.about.turn == video.Turn():
            side.discard(_SIDES["A53_CC"])
        if self.extent.missing and not self.extent.cut():
            missing = f"{self.extent.missing} frames are missing in it, from"
            said.append(f"{missing} {self.extent.gap:.1f} s on: its times have a gap")
        return said + self.plan.notes() + [f"{text} left out" for text in sorted(side)]

    def fingerprint(self) -> str:
        return files.sha256(self.source)

    def needs(self) -> int:
        """Bytes of the disk at its fullest: the segments and the film they are joined into."""
        target, source = self.plan.target, self.source.stat().st_size
        pixels = self.about.width * self.about.height * max(1, self.extent.frames)
        if self.about.codec == target.codec or self.about.lossless and target.lossless:
            size = 2 * source if not target.lossless else source
        elif target.lossless:
            size = pixels * video.av().VideoFormat(target.format).bits_per_pixel // 16
        else:
            size = min(2 * source, source + round(pixels * _LOSSY_BITS / 8))
            size = pixels // 2 if target.codec == "prores" else size
        there = sum(path.stat().st_size for path in self.parts.glob("*"))
        return max(0, 2 * size - there)

    def open(self) -> None:
        self.count = self.extent.frames
        self.height, self.width = self.about.height, self.about.width
        self.dtype = np.dtype(np.uint16 if self.about.bits > 8 else np.uint8)
        check_disk(self.target.parent, self.needs(), self.source)

    def frames(self):
        deep = self.about.bits > 8
        self.reader = video.Reader(self.source)
        for number, frame in enumerate(self.reader):
            self.frame = frame
            yield number, frame.pts, frame.rgb16() if deep else frame.rgb8()

    def seconds(self, pts: int) -> float:
        return round(float(pts * self.about.time_base) - self.plan.shift, 6)

    def begin(self, number: int) -> Any:
        place = self.parts / f"{number:05d}.part"
        return segments.Segment(place, self.about, self.plan.target, self.plan.rate)

    def write(self, writer: Any, pixels: np.ndarray, pts: int, same: bool) -> None:
        writer.write(pixels, pts, self.frame, same)

    def close(self, writer: Any) -> int:
        writer.close()
        return writer.first

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> list[str]:
        if not finished:
            shown = containers.printable(self.source)
            raise errors.InputError(f"cannot read {shown!r} as a video: it has no frame.")
        parts = [(self.parts / f"{i:05d}.part", part["first"]) for i, part in enumerate(finished)]
        faults, end = self._faults(finished)
        with files.atomic(self.target) as file:
            carried = joining.join(parts, self.source, file, self.plan)
            file.flush()
            # Record first, name last: no output ever stands without a record.
            with os.fdopen(os.dup(file.fileno()), "rb") as made:
                made.seek(0)
                there, count = extent.measure(made).frames, finished[-1]["stop"]
                if there != count:
                    raise RuntimeError(f"{there} of {count} frames are in the film made of it")
                made.seek(0)
                self.lost = self._lost(made, carried)
                made.seek(0)
                digest = hashlib.file_digest(made, "sha256").hexdigest()
            file.seek(0, os.SEEK_END)
            about = self._about() | {"complete": not faults, "faults": faults, **end}
            self.note(finished, settings, spent, about, digest)
        return faults

    def _lost(self, made: Any, carried: tracks.Carrier) -> list[str]:
        """What the film does not hold of its source, and no note has said."""
        lost = tracks.lost(self.source, made, carried.order)
        made.seek(0)
        now = video.info(made)
        if now.aspect != self.about.aspect:  # FFmpeg takes it of codecs that state it only
            lost.append(f"pixel aspect {self.about.aspect}")
        if now.light != self.about.light and now.light != hdr.Light():
            lost.append("some of the HDR10 mastering and light levels")
        if carried.dropped:
            lost.append(f"{carried.dropped} packets of other tracks that are damaged")
        return [text for text in lost if not any(text in note for note in self.notes)]

    def _about(self) -> dict:
        about, target = self.about, self.plan.target
        return {
            "width": self.width, "height": self.height, "rate": str(self.plan.rate),
            "codec": target.codec, "codec_of_input": about.codec, "lossless": target.lossless,
            "quality": target.quality,
            "pixel_format": target.format, "pixel_format_of_input": about.format,
            "pixel_format_changed": "; ".join(encoders.losses(about, target.format)),
            "bits": about.bits, "sounds": about.audio,
            "tracks": [
                {"kind": t.kind, "codec": t.codec, "does": t.does} for t in self.plan.tracks
            ],
            "turned": about.turn != video.Turn(),
            "deinterlaced": fields.NAME if self.reader.fields else None,
            "notes": list(self.notes), "lost": self.lost,
        }  # fmt: skip

    def _faults(self, finished: Sequence[Mapping]) -> tuple[list[str], dict]:
        """What was wrong with the source, in words; where it ended and should have, if early."""
        wrong, extent, rate = self.reader.faults, self.extent, float(self.plan.rate)
        count = finished[-1]["stop"]
        last = finished[-1]["notes"][-1]["time"] + self.plan.shift
        end = extent.end if last >= extent.last - 0.5 / rate else last + 1 / rate
        faults, said = [], {}
        if wrong.change or extent.cut(end):
            after = min(end - extent.start, count / rate)
            of = extent.promised - extent.start
            why = wrong.change or wrong.broken or "the file is cut off"
            faults.append(f"ends after {after:.1f} of {of:.1f} s ({why})")
            said = {"ends": round(after, 3), "promised": round(of, 3)}
        elif wrong.broken:
            faults.append(f"is damaged ({wrong.broken})")
        elif extent.torn:
            faults.append(f"ends after {end - extent.start:.1f} s, within a packet: it is cut off")
        at = "" if wrong.at is None else f", the first at {wrong.at - extent.start:.1f} s"
        lost = wrong.lost
        if self.about.codec in video.WHOLE and not wrong.change:
            lost = max(lost, extent.frames - count)
        if lost:
            faults.append(f"{lost} frames could not be decoded{at}")
        if wrong.patched:
            faults.append(f"{wrong.patched} frames are damaged and were patched{at}")
        return faults, said


def check_disk(folder: pathlib.Path, need: int, name: object) -> None:
    """InputError where `need` bytes will not fit on the disk of `folder`."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if need + _SPARE > free:
        shown = containers.printable(name)
        raise errors.InputError(
            f"{shown!r}: needs about {size(need + _SPARE)} on the disk of {str(folder)!r}, "
            f"{size(free)} are free. Free some, or choose another --out."
        )


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"
