"""Messages that say what was given, what is expected, and the likely slip."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A user's slip: the command line prints its one line and exits with 2, no traceback."""


class NotFinite(InputError):
    """A model's answer holds values that are NaN or infinite; float32 may help."""


def bad(what: str, value: object, expected: str, cure: str = "") -> InputError:
    """For a value that breaks a rule.

    >>> print(bad("tile", 100, "expected a multiple of 128", "Try 128 or 256."))
    tile=100: expected a multiple of 128. Try 128 or 256.
    """
    message = f"{what}={value!r}: {expected.rstrip('.')}."
    return InputError(f"{message} {cure}".strip())


def unknown(what: str, value: str, choices: Iterable[str]) -> InputError:
    """For a name that is not one of `choices`.

    >>> print(unknown("config.system", "mofem", ["moei", "mofme", "tod"]))
    config.system='mofem': expected one of moei, mofme, tod. Did you mean 'mofme'?
    """
    choices = sorted(choices)
    message = f"{what}={value!r}: expected one of {', '.join(choices)}."
    if close := difflib.get_close_matches(str(value), choices, n=1):
        message += f" Did you mean {close[0]!r}?"
    return InputError(message)
