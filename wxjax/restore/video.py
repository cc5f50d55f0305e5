"""Films in, films out: frame by frame in constant memory; a stopped job goes on where it was.

A film is restored in segments. When one is complete, its file, the stream's state and the
notes on its frames lie on the disk; at the end the segments are joined with the film's own
sound, nothing encoded twice. So a job that was killed loses one segment at most, and the
file it ends in is that of a job that was not, byte for byte.
"""

import contextlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

import wxjax
from wxjax import errors, files
from wxjax.data import clips, images, video
from wxjax.ops import color
from wxjax.restore import photo, records
from wxjax.restore import progress as progress_bar
from wxjax.restore.listing import Failure

SEGMENT = 48  # frames


@runtime_checkable
class Stream(Protocol):
    """What restores frames one after the other; `evaluate/streaming.py: Streamer` is one."""

    def start(self, height: int, width: int) -> Mapping[str, Any]: ...

    def step(self, state: Mapping[str, Any], frame: np.ndarray) -> tuple: ...


class EachFrame:
    """A restorer of photographs as a stream that remembers nothing."""

    def __init__(self, restorer: photo.Restorer):
        self._restorer = restorer

    def start(self, height: int, width: int) -> dict:
        return {}

    def step(self, state: Mapping, frame: np.ndarray) -> tuple[Mapping, np.ndarray, dict]:
        if frame.dtype != np.uint8 or not getattr(self._restorer, "takes_uint8", False):
            frame = np.float32(frame) / np.iinfo(frame.dtype).max
        restored, _ = self._restorer(frame)
        return state, np.asarray(restored), {}


def is_film(path: str | os.PathLike) -> bool:
    return pathlib.Path(path).suffix.lower() in video.SUFFIXES


def restore(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    stream: Stream,
    *,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    progress: bool = True,
    segment: int = SEGMENT,
    plot: Callable[[list[dict]], bytes | None] | None = None,
) -> photo.Report:
    """Restores films, and folders of frames, into `out`.

    Beside `clip.mp4` appear `clip.mp4.json` (record), `clip.mp4.frames.jsonl` (a line a
    frame: time, cut, what the router did) and, where there is a router, `clip.mp4.png`.

    Args:
      inputs: video files, and folders that are one film each: its pictures in natural order.
      settings: what the outcome depends on, weights hash included. JSON values.
      segment: frames between two points that a job can go on from.
      plot: PNG bytes from the notes on all frames, where they say enough.

    Returns:
      What was done, skipped and failed. One bad film does not stop the others.
    """
    report, out = photo.Report([], [], []), pathlib.Path(out)
    key = records.digest({**settings, "segment": segment})
    for name in inputs:
        source = pathlib.Path(name)
        target = out / source.name
        try:
            if out.resolve() in (source.resolve(), source.resolve().parent):
                raise errors.bad("out", str(out), "expected a folder other than the input's")
            job = Frames if source.is_dir() else Film
            work = job(source, target, key, overwrite)
            done = work.run(stream, settings, segment, progress, plot)
            (report.done if done else report.skipped).append(target)
        except errors.InputError as error:
            report.failed.append(Failure(str(source), str(error)))
    if progress:
        photo.tell(report)
    return report


class Film:
    """One video file and its job folder, `.<name>.parts` beside the output."""

    def __init__(self, source: pathlib.Path, target: pathlib.Path, key: str, overwrite: bool):
        if not source.exists():
            raise errors.InputError(f"cannot read {str(source)!r}: no such file or folder.")
        self.source, self.target, self.key = source, target, key
        self.parts = target.with_name(f".{target.name}.parts")
        self.input = self.fingerprint()
        self.before = records.replaceable(target, overwrite) if target.is_file() else None

    def fingerprint(self) -> str:
        return files.sha256(self.source)

    def current(self) -> bool:
        record = records.read(self.target)
        return (
            self.before is not None
            and record.get("output", {}).get("sha256") == self.before
            and record.get("input", {}).get("sha256") == self.input
            and record.get("settings_sha256") == self.key
        )

    def run(self, stream: Stream, settings: Mapping, segment: int, show: bool, plot=None) -> bool:
        """Whether there was anything to do."""
        if self.current():
            return False
        begin = time.perf_counter()
        self.plot = plot
        self.open()
        finished = self.finished()
        state, done = self.resume(stream, finished)
        with progress_bar.shown(max(0, self.count - done), "frames", show) as advance:
            writer, notes = None, []
            for number, pts, pixels in self.frames():
                if number < done:
                    continue
                if writer is None:
                    writer, notes = self.begin(len(finished)), []
                state, restored, said = stream.step(state, pixels)
                self.write(writer, as_stored(restored, pixels.dtype), pts)
                notes.append({"frame": number, "time": self.seconds(pts), **told(said)})
                advance()
                if len(notes) == segment:
                    finished.append(self.end(len(finished), writer, state, notes))
                    writer = None
            if writer is not None:
                finished.append(self.end(len(finished), writer, state, notes))
        self.publish(finished, settings, time.perf_counter() - begin)
        shutil.rmtree(self.parts, ignore_errors=True)
        return True

    # ---- what a film is, and a folder of frames is otherwise ------------------------

    def open(self) -> None:
        self.about = video.info(self.source)
        self.suffix = self.target.suffix.lower()
        self.count = self.about.frames
        self.height, self.width = self.about.height, self.about.width

    def frames(self):
        deep = self.about.bits > 8
        for number, frame in enumerate(video.read(self.source)):
            yield number, frame.pts, frame.rgb16() if deep else frame.rgb8()

    def seconds(self, pts: int) -> float:
        return round(float(pts * self.about.time_base), 6)

    def begin(self, number: int) -> Any:
        return video.Segment(self.parts / f"{number:05d}.mp4", self.about, self.suffix)

    def write(self, writer: Any, pixels: np.ndarray, pts: int) -> None:
        writer.write(pixels, pts)

    def close(self, writer: Any) -> int:
        writer.close()
        return writer.first

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> None:
        parts = [(self.parts / f"{i:05d}.mp4", part["first"]) for i, part in enumerate(finished)]
        with files.atomic(self.target) as file:
            video.join(parts, self.source, file, self.about, self.suffix)
        _, kind, why = video.encoding(self.about, self.suffix)
        self.note(finished, settings, spent, {
            "width": self.width, "height": self.height, "rate": str(self.about.rate),
            "pixel_format": kind, "pixel_format_of_input": self.about.format,
            "pixel_format_changed": why, "bits": self.about.bits, "sounds": self.about.audio,
        })  # fmt: skip

    # ---- the job folder ---------------------------------------------------------------

    def finished(self) -> list[dict]:
        """Segments that lie complete, of this very job; what else is there is thrown away."""
        about = {"key": self.key, "input": self.input, "wxjax": wxjax.__version__}
        with contextlib.suppress(errors.InputError):
            if files.read_json(self.parts / "job.json") == about:
                found = sorted(self.parts.glob("[0-9]*.json"))
                return [files.read_json(path) for path in found]
        shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(parents=True, exist_ok=True)
        files.write_json(self.parts / "job.json", about)
        return []

    def resume(self, stream: Stream, finished: Sequence[Mapping]) -> tuple[Mapping, int]:
        if not finished:
            return stream.start(self.height, self.width), 0
        with np.load(self.parts / "state.npz") as saved:
            # Only the newest is kept: an older number means that a kill fell between the two.
            state = {name: saved[name] for name in saved.files if name != "segments"}
        return state, finished[-1]["stop"]

    def end(self, number: int, writer: Any, state: Mapping, notes: list[dict]) -> dict:
        first = self.close(writer)
        with files.atomic(self.parts / "state.npz") as file:
            arrays = {name: np.asarray(value) for name, value in state.items()}
            np.savez(file, **arrays)
        part = {"first": first, "stop": notes[-1]["frame"] + 1, "notes": notes}
        files.write_json(self.parts / f"{number:05d}.json", part)
        return part

    def note(self, finished: Sequence[Mapping], settings, spent: float, about: Mapping) -> None:
        """The record, the frames' notes and their picture."""
        notes = [note for part in finished for note in part["notes"]]
        name = self.target.name
        files.write_jsonl(self.target.with_name(f"{name}.frames.jsonl"), notes)
        drawn = self.plot(notes) if self.plot else None
        if drawn:
            files.write_bytes(self.target.with_name(f"{name}.png"), drawn)
        cuts = [note["frame"] for note in notes if note.get("cut")]
        output = {"path": name, "sha256": self.output(), "frames": len(notes)}
        record = {
            "wxjax": wxjax.__version__,
            "input": {"path": self.source.name, "sha256": self.input},
            "output": output,
            "replaces": self.before,
            "film": {**about, "cuts": cuts},
            "settings": records.plain(settings),
            "settings_sha256": self.key,
            "seconds": round(spent, 3),
        }
        files.write_json(records.place(self.target), record)

    def output(self) -> str:
        return files.sha256(self.target)


class Frames(Film):
    """A folder whose pictures are the frames of one film, in natural order."""

    def __init__(self, source: pathlib.Path, target: pathlib.Path, key: str, overwrite: bool):
        self.paths = clips.frames_of(source)
        if not self.paths:
            raise errors.InputError(f"no picture in folder {str(source)!r}.")
        super().__init__(source, target, key, overwrite)
        record = records.read(target)
        ours = record or overwrite or (self.parts / "job.json").is_file()  # or of a job under way
        if target.is_dir() and any(target.iterdir()) and not ours:
            raise errors.InputError(f"{str(target)!r} is in the way: not made here. Move it.")
        self.before = self.output() if target.is_dir() and record else None

    def fingerprint(self) -> str:
        return records.sha256("".join(files.sha256(path) for path in self.paths).encode())

    def output(self) -> str:
        found = [path for path in clips.frames_of(self.target) if path.is_file()]
        return records.sha256("".join(files.sha256(path) for path in found).encode())

    def open(self) -> None:
        self.count = len(self.paths)
        self.width, self.height = images.size(self.paths[0])
        self.target.mkdir(parents=True, exist_ok=True)

    def frames(self):
        for number, path in enumerate(self.paths):
            self.picture = images.read(path)
            pixels = images.to_bytes(self.picture)
            if pixels is None:
                pixels = np.rint(images.to_rgb(self.picture) * 65535).astype(np.uint16)
            if pixels.shape[:2] != (self.height, self.width):
                h, w = pixels.shape[:2]
                expected = f"expected {self.width}x{self.height}, as the first frame"
                raise errors.bad(str(path), f"{w}x{h}", expected)
            yield number, number, pixels

    def seconds(self, pts: int) -> float:
        return float(pts)

    def begin(self, number: int) -> Any:
        return self

    def write(self, writer: Any, pixels: np.ndarray, pts: int) -> None:
        deep = pixels.dtype != np.uint8
        made = (
            images.with_rgb(self.picture, pixels.astype(np.float32) / 65535)
            if deep
            else images.with_bytes(self.picture, pixels)
        )
        images.write(self.target / self.paths[pts].name, made)

    def close(self, writer: Any) -> int:
        return 0

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> None:
        self.note(finished, settings, spent, {"width": self.width, "height": self.height})


def as_stored(restored: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A restored frame at the depth of its input: bytes stay, floats are clipped and rounded."""
    if restored.dtype == dtype:
        return restored
    if not np.isfinite(restored).all():
        raise errors.InputError("the model's output is not finite: its weights are damaged.")
    if dtype == np.uint8:
        return np.asarray(color.round_to_uint8(restored))
    if restored.dtype == np.uint8:
        return restored.astype(np.uint16) * 257
    return np.floor(np.clip(restored, 0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


def told(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a step said, as JSON values with six digits."""
    out = {}
    for name, value in said.items():
        value = np.asarray(value)
        out[name] = (
            bool(value) if value.dtype == bool else np.round(value.astype(float), 6).tolist()
        )
    return json.loads(json.dumps(out))
