"""Numbers of a run: TensorBoard event files and metrics.jsonl.

The method names are those of clu.metric_writers, which imports TensorFlow and so is not used.
"""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from wxjax import files

ROWS = "metrics.jsonl"


class SummaryWriter:
    """Event files in `logdir`. Use as a context manager: leaving it flushes and closes."""

    def __init__(self, logdir: os.PathLike | str, *, first_step: int = 0):
        """With a `first_step`, readers drop what an earlier, longer try wrote from it on."""
        try:
            self._file = EventFileWriter(str(logdir))
        except OSError as error:
            raise files.explain(error, logdir) from error
        if first_step:
            start = SessionLog(status=SessionLog.START)
            self._file.add_event(Event(wall_time=time.time(), step=first_step, session_log=start))

    def _add(self, step: int, values: list) -> None:
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self._file.add_event(event)

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """One number a name."""
        self._add(step, [Summary.Value(tag=k, simple_value=float(v)) for k, v in scalars.items()])

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class RunWriter(SummaryWriter):
    """Event files plus metrics.jsonl: rows {"step", name: number or null}, each step once."""

    def __init__(self, workdir: os.PathLike | str, *, after: int = 0, again: str = ""):
        """Continues behind step `after`: rows of later steps, or one cut by a kill, go.

        So do rows of that step with a name that starts with `again`, which is to be redone.
        """
        self._path = pathlib.Path(workdir) / ROWS

        def stays(row):
            redone = again and row["step"] == after and any(k.startswith(again) for k in row)
            return row["step"] <= after and not redone

        files.write_jsonl(self._path, filter(stays, _whole_rows(self._path)))
        super().__init__(workdir, first_step=after + 1 if after else 0)
        self._rows = open(self._path, "a", encoding="utf-8")

    def write_row(self, step: int, scalars: Mapping[str, Any]) -> None:
        """To both files; a number that is none (NaN, infinity) is null in the row."""
        numbers = {name: float(value) for name, value in scalars.items()}
        self.write_scalars(step, numbers)
        plain = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        try:
            self._rows.write(json.dumps({"step": step, **plain}, allow_nan=False) + "\n")
            self._rows.flush()
        except OSError as error:
            raise files.explain(error, self._path) from error

    def sync(self) -> None:
        """Rows are on the disk before a checkpoint says that their steps are done."""
        self.flush()
        self._rows.flush()
        os.fsync(self._rows.fileno())

    def close(self) -> None:
        super().close()
        self._rows.close()


def _whole_rows(path: pathlib.Path) -> list[dict]:
    """The rows of a file whose last line may have been cut."""
    rows = []
    if path.exists():
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows
