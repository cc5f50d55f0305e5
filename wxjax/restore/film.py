"""One film as a job in segments, each complete on the disk or not begun.

Beside the output stands `.<name>.parts`: the segments' files, their notes, and the stream's
state after the last of them; it goes when the film is joined.
"""

import contextlib
import json
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

import wxjax
from wxjax import errors, files
from wxjax.data import video
from wxjax.ops import color
from wxjax.restore import progress as progress_bar
from wxjax.restore import records


@runtime_checkable
class Stream(Protocol):
    """What restores frames one after the other; `systems/mofme/measure.py: Streamer` is one."""

    def start(self, height: int, width: int) -> Mapping[str, Any]: ...

    def step(self, state: Mapping[str, Any], frame: np.ndarray) -> tuple: ...


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
