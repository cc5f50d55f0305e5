"""A job of many frames in segments, each complete on the disk or not begun.

Beside the output stands `.<name>.parts`: the segments' files, their notes, and the stream's
state after the last of them; it goes when the frames are joined.
"""

import contextlib
import json
import pathlib
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

import wxjax
from wxjax import errors, files
from wxjax.evaluate import way
from wxjax.ops import color
from wxjax.restore import progress as progress_bar
from wxjax.restore import records

_NAME_BYTES = 255 - len(".frames.jsonl") - 12


@runtime_checkable
class Stream(Protocol):
    """What restores frames one after the other; `systems/mofme/measure.py: Streamer` is one."""

    def start(self, height: int, width: int) -> Mapping[str, Any]: ...

    def step(self, state: Mapping[str, Any], frame: np.ndarray) -> tuple: ...


class Outcome(NamedTuple):
    """Whether there was anything to do, and what was wrong with the source."""

    made: bool
    faults: list[str]


class Job:
    """Frames from one source to one target. What a source is, subclasses say.

    Attributes:
      notes: what the output loses or changes, in words, known before the first frame.
      done: frames that lie complete on the disk, so that a stopped job can say so.
    """

    notes: Sequence[str] = ()

    def __init__(self, source: pathlib.Path, target: pathlib.Path, key: str, overwrite: bool):
        self.source, self.key, self.overwrite, self.done = source, key, overwrite, 0
        self.before: str | None = None
        self.aim(target)

    def aim(self, target: pathlib.Path) -> None:
        """Where the output goes."""
        if len(target.name.encode("utf-8", "surrogateescape")) > _NAME_BYTES:
            raise errors.InputError(
                f"{target.name!r}: the name is too long to hold a record beside it. Rename it."
            )
        self.target, self.parts = target, target.with_name(f".{target.name}.parts")

    # ---- what subclasses say -------------------------------------------------------------

    count: int  # frames that are expected
    height: int
    width: int
    dtype: Any = None  # of the frames, where it is known before they are read

    def fingerprint(self) -> str:
        raise NotImplementedError

    def open(self) -> None:
        """Prepares for the first frame."""

    def frames(self) -> Iterable[tuple[int, int, np.ndarray]]:
        """Number, time, and pixels `[h w 3]`, uint8 or uint16, of every frame."""
        raise NotImplementedError

    def seconds(self, pts: int) -> float:
        raise NotImplementedError

    def begin(self, number: int) -> Any:
        raise NotImplementedError

    def write(self, writer: Any, pixels: np.ndarray, pts: int, same: bool) -> None:
        raise NotImplementedError

    def close(self, writer: Any) -> int:
        raise NotImplementedError

    def publish(self, finished: Sequence[Mapping], settings: Mapping, spent: float) -> list[str]:
        """Makes the output; says what was wrong with the source."""
        raise NotImplementedError

    # ---- the loop ---------------------------------------------------------------------------

    def clear(self) -> None:
        """InputError where what stands in the output's place, or beside it, is someone else's."""
        self.before = records.replaceable(self.target, self.overwrite)
        if self.overwrite or records.read(self.target) or self.parts.is_dir():
            return
        for ending in (".frames.jsonl", ".png"):
            path = self.target.with_name(f"{self.target.name}{ending}")
            if path.exists():
                raise errors.InputError(
                    f"{str(path)!r} is in the way: not made here. Move it, or allow overwriting."
                )

    def current(self) -> bool:
        record = records.read(self.target)
        return (
            self.before is not None
            and record.get("output", {}).get("sha256") == self.before
            and record.get("input", {}).get("sha256") == self.input
            and record.get("settings_sha256") == self.key
        )

    def run(self, stream: Stream, settings: Mapping, segment: int, show: bool, plot=None):
        """Restores what is missing; an `Outcome`. Faults of an earlier run are said again."""
        self.input = self.fingerprint()
        if self.current():
            known = records.read(self.target).get("film", {}).get("faults", [])
            return Outcome(False, list(known))
        begin = time.perf_counter()
        self.plot = plot
        self.open()
        if hasattr(stream, "fit") and self.dtype is not None:
            stream.fit(self.height, self.width, self.dtype)
        finished = self.finished()
        try:
            while True:
                try:
                    self._each(stream, finished, segment, show)
                    break
                except Exception as error:  # out of memory: on from the last complete segment
                    smaller = getattr(stream, "smaller", lambda: False)
                    if not way.exhausted(error) or not smaller():
                        raise
            faults = self.publish(finished, settings, time.perf_counter() - begin)
        except Exception:
            if not finished:  # nothing to go on from
                shutil.rmtree(self.parts, ignore_errors=True)
            raise
        shutil.rmtree(self.parts, ignore_errors=True)
        return Outcome(True, faults)

    def _each(self, stream: Stream, finished: list[dict], segment: int, show: bool) -> None:
        state, done = self.resume(stream, finished)
        self.done = done
        with progress_bar.shown(max(0, self.count - done), "frames", show) as advance:
            writer, notes = None, []
            for number, pts, pixels in self.frames():
                if number < done:
                    continue
                if writer is None:
                    writer, notes = self.begin(len(finished)), []
                state, restored, said = stream.step(state, pixels)
                stored = as_stored(restored, pixels.dtype)
                same = stored.shape == pixels.shape and np.array_equal(stored, pixels)
                self.write(writer, stored, pts, same)
                notes.append({"frame": number, "time": self.seconds(pts), **told(said)})
                advance()
                if len(notes) == segment:
                    finished.append(self.end(len(finished), writer, state, notes))
                    writer = None
            if writer is not None:
                finished.append(self.end(len(finished), writer, state, notes))

    # ---- the job folder ---------------------------------------------------------------

    def finished(self) -> list[dict]:
        """Segments that lie complete, of this very job; what else is there is thrown away."""
        about = {"key": self.key, "input": self.input, "wxjax": wxjax.__version__}
        with contextlib.suppress(errors.InputError, ValueError):
            if files.read_json(self.parts / "job.json") == about:
                found = sorted(self.parts.glob("[0-9]*.json"))
                return [files.read_json(path) for path in found]
        shutil.rmtree(self.parts, ignore_errors=True)
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.explain(error, self.parts) from error
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
        self.done = part["stop"]
        return part

    def note(
        self, finished: Sequence[Mapping], settings, spent: float, about: Mapping, output: str
    ) -> None:
        """The record, the frames' notes and their picture; `output` is its SHA-256."""
        notes = [note for part in finished for note in part["notes"]]
        name = self.target.name
        files.write_jsonl(self.target.with_name(f"{name}.frames.jsonl"), notes)
        drawn = self.plot(notes) if self.plot else None
        if drawn:
            files.write_bytes(self.target.with_name(f"{name}.png"), drawn)
        cuts = [note["frame"] for note in notes if note.get("cut")]
        record = {
            "wxjax": wxjax.__version__,
            "input": {"path": self.source.name, "sha256": self.input},
            "output": {"path": name, "sha256": output, "frames": len(notes)},
            "replaces": self.before,
            "film": {**about, "cuts": cuts},
            "settings": records.plain(settings),
            "settings_sha256": self.key,
            "seconds": round(spent, 3),
        }
        files.write_json(records.place(self.target), record)


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
