"""SIGTERM and Ctrl-C as one exception, so that every file is finished or not begun."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(BaseException):
    """SIGTERM or Ctrl-C; past every `except Exception` on the way out."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turns the first SIGTERM or Ctrl-C into Stopped; a second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    usual = {number: signal.getsignal(number) for number in watched}

    def restore_usual() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def stop(number, frame):
        restore_usual()
        raise Stopped(number)

    for number in watched:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore_usual()
