"""Being asked to stop: finish the step, save, leave with the code a shell expects."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(SystemExit):
    """The run was asked to stop and has saved; exits with 128 + signal (143 TERM, 130 Ctrl-C)."""

    def __init__(self, message: str, signum: int):
        super().__init__(128 + signum)
        self.message = message

    def __str__(self) -> str:
        return self.message


class _Interrupted(BaseException):
    """Leaves an evaluation at once; never seen outside this module."""


class Requests:
    """`signum` is the signal received, 0 while there was none."""

    def __init__(self):
        self.signum = 0
        self._breakable = False

    def handle(self, signum: int, _frame) -> None:
        if self.signum:  # the second time is meant: no saving, no waiting
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        self.signum = signum
        if self._breakable:
            raise _Interrupted

    @contextlib.contextmanager
    def breakable(self) -> Iterator[None]:
        """A block without effect on the run's state: a request ends it half done."""
        self._breakable = True
        try:
            yield
        except _Interrupted:
            pass
        finally:
            self._breakable = False


@contextlib.contextmanager
def listen() -> Iterator[Requests]:
    """Catches SIGTERM, SIGINT and SIGHUP in the main thread; elsewhere nothing ever arrives."""
    requests = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.handle) for number in SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
