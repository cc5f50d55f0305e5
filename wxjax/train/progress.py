"""What a waiting person sees: a bar on a terminal, a line every ten seconds elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

EVERY = 10.0  # seconds between two plain lines


class Bar:
    """Progress over `total` steps on standard error. Use as a context manager."""

    def __init__(self, name: str, total: int, *, stream=None, clock=time.monotonic):
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._name, self._total, self._clock = name, total, clock
        self._start = self._shown = self._clock()
        self._first = None
        self._live = None
        if self._console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()
            columns += TimeElapsedColumn(), TextColumn("{task.fields[note]}")
            self._live = Progress(*columns, console=self._console, transient=False)
            self._task = self._live.add_task(name, total=total, note="")

    def __enter__(self):
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """One line that stays."""
        self._console.print(f"{self._name}: {line}", markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def phase(self, what: str) -> Iterator[None]:
        """Shows `what` while the block runs (the clock keeps counting), then its seconds."""
        start = self._clock()
        if self._live:
            self._live.update(self._task, note=f"{what} ...")
        else:
            self.say(f"{what} ...")
        yield
        self.say(f"{what}: {self._clock() - start:.1f} s")
        # Time spent here is not the speed of a step.
        self._first = None

    def step(self, done: int, loss: float | None = None) -> None:
        """Says that `done` steps are behind; cheap enough for every step."""
        now = self._clock()
        self._first = self._first or (done, now)
        note = self._note(done, now, loss)
        if self._live:
            self._live.update(self._task, completed=done, note=note)
        elif now - self._shown >= EVERY or done == self._total:
            self._shown = now
            self.say(f"{done}/{self._total} {note}".rstrip())

    def _note(self, done: int, now: float, loss: float | None) -> str:
        parts = []
        since, start = self._first
        if done > since and now > start:
            rate = (done - since) / (now - start)
            parts.append(f"{rate:.2f} steps/s, {_duration((self._total - done) / rate)} left")
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
