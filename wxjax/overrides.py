"""`--config.KEY=VALUE`: values of a config set from the command line, by the type they have."""

import ast
import fnmatch
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from wxjax import errors

TRUE, FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides as `KEY=VALUE`, and the other words. `--config.KEY` alone is true."""
    found: list[str] = []
    rest: list[str] = []
    words = list(words)
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"--?(no)?config\.([^=]+)(=.*)?", word, re.DOTALL)
        if word == "--":
            return found, [*rest, word, *words]
        if not match:
            rest.append(word)
        elif match[3]:
            found.append(match[2] + match[3])
        elif match[1]:
            found.append(f"{match[2]}=false")
        elif words and not words[0].startswith("--"):
            found.append(f"{match[2]}={words.pop(0)}")
        else:
            found.append(f"{match[2]}=true")
    return found, rest


def apply(
    config: ConfigDict,
    words: Sequence[str],
    *,
    lists: Collection[str] = (),
    weights: Mapping[str, Callable[[], Collection[str]]] | None = None,
) -> None:
    """Sets `KEY=VALUE` words in `config`.

    Args:
      lists: keys of numbers that may be lists of numbers.
      weights: groups whose members are weights: numbers, or corners ((step, weight), ...);
        with the names of all that there can be, so that one can be added.

    Raises:
      InputError: for an unknown key, its neighbour named, and for a value of another type.
    """
    for word in words:
        path, _, text = word.partition("=")
        *groups, key = path.split(".")
        holder = config
        for i, group in enumerate(groups):
            holder = member(holder, group, ".".join(groups[:i]))
            if not isinstance(holder, ConfigDict):
                known = ".".join(groups[: i + 1])
                raise errors.InputError(f"--config.{path}: config.{known} is a value, no group.")
        group = ".".join(groups)
        names = next((n for p, n in (weights or {}).items() if fnmatch.fnmatchcase(group, p)), None)
        if names is not None and key not in holder and key not in names():
            raise errors.unknown(f"--config.{group}", key, {*holder, *names()})
        if names is not None and not isinstance(holder.get(key), (str, bool, ConfigDict)):
            value = weight(path, text)
        else:
            old = member(holder, key, group)
            value = parse(path, text, old, many=path in lists)
        with config.unlocked(), holder.ignore_type():
            holder[key] = value


def member(holder: ConfigDict, key: str, where: str) -> Any:
    if key not in holder:
        what = f"--config.{where}".rstrip(".")
        raise errors.unknown(what, key, holder)
    return holder[key]


def parse(path: str, text: str, old: Any, many: bool = False) -> Any:
    """The value of `text` with the type of `old`."""
    what = f"--config.{path}"
    if isinstance(old, bool):
        if text.lower() not in (*TRUE, *FALSE):
            raise errors.bad(what, text, "expected true or false")
        return text.lower() in TRUE
    if isinstance(old, str):
        return text
    if isinstance(old, (int, float)):
        value = literal(text)
        if many and isinstance(value, (tuple, list)):
            return tuple(number(what, text, entry, float) for entry in value)
        return number(what, text, value, type(old))
    if isinstance(old, (tuple, list)):
        value = literal(text)
        if isinstance(value, str):  # (a, b) without quotes
            bare = value.strip().strip("()[]")
            value = tuple(literal(entry.strip()) for entry in bare.split(",") if entry.strip())
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if isinstance(old, ConfigDict):
        raise errors.InputError(f"{what}: it is a group: set one of {', '.join(sorted(old))}.")
    return literal(text)


def weight(path: str, text: str) -> Any:
    """A number, or corners (step, weight) with rising steps."""
    value = literal(text)
    if not isinstance(value, (tuple, list)):
        return number(f"--config.{path}", text, value, float)
    rule = "expected a number, or corners such as ((0,0.0),(500,0.1)) with rising steps"
    try:
        corners = tuple((int(step), float(height)) for step, height in value)
    except (TypeError, ValueError):
        raise errors.bad(f"--config.{path}", text, rule) from None
    if not corners or any(b[0] <= a[0] for a, b in zip(corners, corners[1:], strict=False)):
        raise errors.bad(f"--config.{path}", text, rule)
    return corners


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return text


def number(what: str, text: str, value: Any, kind: type) -> Any:
    """`value` as an int or a float; no bool, and no fraction for an int."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits or (kind is int and value != int(value)):
        rule = "a whole number" if kind is int else "a number"
        raise errors.bad(what, text, f"expected {rule}")
    return kind(value)
