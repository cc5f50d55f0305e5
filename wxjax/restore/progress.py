"""How far a job is: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress

_SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def shown(total: int, unit: str, show: bool) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each of `total` pieces of work; writes to stderr."""
    console = rich.console.Console(stderr=True)
    if not show or not total:
        yield lambda: None
    elif console.is_terminal:
        with _bar(console, unit) as bar:
            task = bar.add_task("", total=total)
            yield lambda: bar.advance(task)
    else:
        yield _lines(total, unit)


def _bar(console: rich.console.Console, unit: str) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(unit),
        _Rate(),
        rich.progress.TimeRemainingColumn(),
        console=console,
    )


class _Rate(rich.progress.ProgressColumn):
    """Pieces of work a second."""

    def render(self, task: rich.progress.Task) -> str:
        return f"{task.speed:.2f}/s" if task.speed else ""


def _lines(total: int, unit: str) -> Callable[[], None]:
    start, done, last = time.monotonic(), 0, -_SECONDS_BETWEEN_LINES

    def advance() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last, spent = now, max(now - start, 1e-9)
        left = (total - done) * spent / done
        rate = done / spent
        print(f"{done}/{total} {unit}, {rate:.2f}/s, {left:.0f} s left", file=sys.stderr)

    return advance
