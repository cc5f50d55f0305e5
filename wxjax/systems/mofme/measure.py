"""Clips through a task's stream, and one row for each frame.

What runs here is what `restore` runs on files: one compiled step, frame after frame.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from wxjax import errors
from wxjax.evaluate import plan
from wxjax.evaluate.runner import plain, round8
from wxjax.systems.mofme import temporal
from wxjax.task import Task

VARIANTS = ("input", "frame", "video")  # as it came; frame by frame; with the frame before


class Streamer:
    """A task's stream as compiled programs: state in, state out, one frame at a time.

    One long run and several that hand the state on are equal to the bit: they are the same
    program on the same values.
    """

    takes_uint8 = True

    def __init__(
        self,
        task: Task,
        variables: Any,
        remember: bool = True,
        *,
        batch: int = 1,
        rebuild: Callable[[int], Task] | None = None,
        budget: int | None = None,
    ):
        """`batch` tiles at a time; `rebuild` is the task with another number of them.

        Args:
          budget: bytes that the process may hold; None for what the machine has.
        """
        if task.stream is None:
            raise errors.InputError("this system knows no video: expected a task with a stream.")
        self._stream, self._remember = task.stream, np.bool_(remember)
        self._variables = jax.device_put(task.prepare(variables))
        self._rebuild, self._budget, self.batch = rebuild, budget, batch
        self._programs: dict[tuple, Any] = {}
        self._step = jax.jit(task.stream.step, donate_argnums=(1,))

    def start(self, height: int, width: int) -> dict[str, Any]:
        return self._stream.init_state(height, width)

    def reset(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return self._stream.reset(state)

    def smaller(self) -> bool:
        """Half the tiles at a time from now on; False where there is one already."""
        if self.batch == 1 or self._rebuild is None:
            return False
        self.batch //= 2
        self._programs.clear()
        stream = self._rebuild(self.batch).stream
        self._step = jax.jit(stream.step, donate_argnums=(1,))
        return True

    def fit(self, height: int, width: int, dtype: Any) -> int:
        """Takes the most tiles at a time that memory allows, before the first frame; the bytes.

        Raises:
          InputError: where one tile at a time is too much.
        """
        budget = self._budget or plan.available()
        while True:
            frame = jax.ShapeDtypeStruct((height, width, 3), dtype)
            state = jax.eval_shape(lambda: self.start(height, width))
            program = self._step.lower(self._variables, state, frame, self._remember).compile()
            need = plan.resident() + plan.work(program, self._variables)
            if need <= budget:
                self._programs[height, width, np.dtype(dtype).str] = program
                return need
            if not self.smaller():
                raise errors.InputError(
                    f"memory={budget / 2**30:.2f}GiB: a film of {width}x{height} takes "
                    f"{need / 2**30:.2f} GiB with one tile at a time. Allow more with --memory, "
                    "or take a smaller --config.tiles.tile."
                )

    def step(self, state: Mapping[str, Any], frame: np.ndarray):
        """The next state, the frame restored (float32, unclipped), and what was said of it.

        The state passed in is gone afterwards: its memory is the next one's.
        """
        state = jax.tree.map(jax.numpy.asarray, dict(state))
        program = self._programs.get((*frame.shape[:2], frame.dtype.str), self._step)
        state, restored, said = program(self._variables, state, frame, self._remember)
        return state, np.asarray(restored), jax.device_get(said)


def restore(streamer: Streamer, clip: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """A clip `[t h w 3]` uint8 as uint8, and what was said of each frame with `latency_ms`."""
    state = streamer.start(*clip.shape[1:3])
    frames, notes = [], []
    for frame in clip:
        begin = time.perf_counter()
        state, restored, said = streamer.step(state, frame)
        notes.append({**said, "latency_ms": (time.perf_counter() - begin) * 1e3})
        frames.append(round8(restored))
    return np.stack(frames), notes


def run(
    streamers: Mapping[str, Streamer],
    examples: Iterable[Mapping],
    measure: Callable[[dict, dict], dict],
    *,
    protocol: str,
    keep: Callable[[str, dict], None] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows of every frame and variant, and a row of every clip with its temporal scores.

    Args:
      streamers: by variant; 'input' is measured besides.
      measure: `(outputs, batch) -> {name: [b]}` of photographs.
      keep: called with the id and the clips of each variant.
    """
    frames, clips = [], []
    for example in examples:
        found = {name: restore(streamer, example["image"]) for name, streamer in streamers.items()}
        pictures = {"input": example["image"], **{name: x for name, (x, _) in found.items()}}
        for name, clip in pictures.items():
            notes = found[name][1] if name in found else [{}] * len(clip)
            common = {
                "id": example["id"],
                "dataset": example["dataset"],
                "degradation": example["kind"],
                "variant": name,
                "protocol": protocol,
            }
            values = {}
            if "target" in example:
                values = measure({"image": clip}, {"target": example["target"]})
                steady = temporal.measure(clip, example["target"])
                clips.append({**common, "flow": temporal.FLOW, "metrics": steady})
            for t, note in enumerate(notes):
                metrics = {key: plain(column[t]) for key, column in values.items()}
                frames.append({**common, "frame": t, "metrics": metrics, **listed(note)})
        if keep:
            keep(example["id"], {**pictures, "target": example.get("target")})
    return frames, clips


def listed(note: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of a frame, as JSON values with six digits."""
    return {name: np.round(np.asarray(value, float), 6).tolist() for name, value in note.items()}


def by_video(rows: Iterable[Mapping], metric: str, part: slice = slice(None)) -> float | None:
    """The mean over frames of each clip, then over clips: short ones weigh as much as long."""
    clips: dict[str, list] = {}
    for row in rows:
        if row["metrics"].get(metric) is not None:
            clips.setdefault(row["id"], []).append(row["metrics"][metric])
    means = [np.mean(values[part]) for values in clips.values() if values[part]]
    return float(np.mean(means)) if means else None
