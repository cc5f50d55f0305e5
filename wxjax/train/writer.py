"""Numbers, pictures and texts of a run: TensorBoard event files and metrics.jsonl.

The method names are those of clu.metric_writers, which imports TensorFlow and so is not used.
"""

import io
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
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

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Pictures [h w c] or [b h w c] (one entry each), uint8 or float in [0, 1]; c 1 or 3."""
        values = []
        for name, stack in images.items():
            stack = np.asarray(stack)
            for number, image in enumerate(stack if stack.ndim == 4 else stack[None]):
                tag = f"{name}/{number}" if stack.ndim == 4 else name
                values.append(Summary.Value(tag=tag, image=_picture(image)))
        self._add(step, values)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Markdown for TensorBoard's text page."""
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        values = [
            Summary.Value(
                tag=name,
                metadata=SummaryMetadata(plugin_data=plugin),
                tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape),
            )
            for name, text in texts.items()
        ]
        self._add(step, values)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _picture(image: np.ndarray) -> Summary.Image:
    if image.dtype != np.uint8:
        image = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    height, width, channels = image.shape
    png = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if channels == 1 else image).save(png, "PNG")
    return Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue()
    )


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
