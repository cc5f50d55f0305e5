"""Variables to ship: one file of named arrays, and a card that says what is in it."""

import math
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from wxjax import errors, files

ARRAYS, CARD = "weights.npz", "weights.json"
_MOST_LINES = 12


def flatten(variables: Any) -> dict[str, Any]:
    """Nested dicts as {'params/encoder/kernel': array}; empty collections vanish."""
    return flax.traverse_util.flatten_dict(dict(variables), sep="/")


def unflatten(named: Mapping[str, Any]) -> dict[str, Any]:
    return flax.traverse_util.unflatten_dict(dict(named), sep="/")


def describe(named: Mapping[str, Any]) -> dict[str, str]:
    """{'params/encoder/kernel': 'float32[3,3,8]'}."""
    return {
        name: f"{jnp.dtype(x.dtype).name}[{','.join(map(str, x.shape))}]"
        for name, x in named.items()
    }


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Both sides, a line a name: ' - ' missing, ' + ' surplus, ' ~ ' another shape; '' if equal."""
    lines = [f" - {n} {expected[n]}" for n in expected if n not in found]
    lines += [f" + {n} {found[n]}" for n in found if n not in expected]
    both = (n for n in expected if n in found and found[n] != expected[n])
    lines += [f" ~ {n} {found[n]}, expected {expected[n]}" for n in both]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"   and {len(lines) - _MOST_LINES} more"]
    return "\n".join(lines)


def check(variables: Any, expected: Any, origin: object) -> None:
    """Raises InputError listing every leaf of `variables` that is not as in `expected`."""
    lines = differences(describe(flatten(variables)), describe(flatten(expected)))
    if lines:
        raise errors.InputError(f"{str(origin)!r}: these weights belong to another model:\n{lines}")


def save(folder: os.PathLike | str, variables: Any, metadata: Mapping[str, Any]) -> None:
    """Writes weights.npz and weights.json (`metadata`, shapes, SHA-256) into `folder`.

    Arrays of equal values give equal bytes. The card is written last, and only it is valid for
    the arrays it names, so a kill between the two leaves a folder that is refused.
    """
    folder = pathlib.Path(folder)
    named = {k: np.asarray(jax.device_get(x)) for k, x in sorted(flatten(variables).items())}
    # NumPy cannot name bfloat16: its bits travel as uint16, its name on the card.
    plain = {k: x.view(np.uint16) if x.dtype == jnp.bfloat16 else x for k, x in named.items()}
    with files.atomic(folder / ARRAYS) as file:
        np.savez(file, **plain)
    sha256 = files.sha256(folder / ARRAYS)
    card = {"metadata": dict(metadata), "arrays": describe(named), "sha256": sha256}
    files.write_json(folder / CARD, card)


def load(folder: os.PathLike | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables (NumPy) and the metadata that `save` wrote; no code in a file is ever run.

    Raises:
      InputError: where a file is missing, was changed, or is not what its card says.
    """
    folder = pathlib.Path(folder)
    path, card = folder / ARRAYS, files.read_json(folder / CARD)
    try:
        if files.sha256(path) != card["sha256"]:
            raise errors.InputError(f"{str(path)!r}: was changed (SHA-256 differs from {CARD}).")
        _check_sizes(path, card["arrays"])
        with np.load(path, allow_pickle=False) as stored:
            named = {name: _typed(stored[name], text) for name, text in card["arrays"].items()}
        lines = differences(describe(named), card["arrays"])
        metadata = dict(card["metadata"])
    except OSError as error:
        raise files.explain(error, path, "read") from error
    except errors.InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, EOFError) as error:
        raise errors.InputError(f"{str(path)!r}: not a weights file of wxjax ({error}).") from error
    except zipfile.BadZipFile as error:
        raise errors.InputError(f"{str(path)!r}: not a weights file of wxjax ({error}).") from error
    if lines:
        raise errors.InputError(f"{str(path)!r}: other arrays than {CARD} names:\n{lines}")
    return unflatten(named), metadata


def widened(variables: Any) -> Any:
    """float16 arrays, as models ship them, as float32; others as they are."""
    widen = lambda x: x.astype(np.float32) if x.dtype == np.float16 else x
    return jax.tree.map(widen, variables)


def narrowed(variables: Any) -> Any:
    """The parameters as float16, which costs under 0.01 dB; the rest stays as it is."""
    narrow = lambda x: np.asarray(x, np.float16) if x.dtype == np.float32 else np.asarray(x)
    kept = {name: tree for name, tree in variables.items() if name != "params"}
    return {**kept, "params": jax.tree.map(narrow, variables["params"])}


def _check_sizes(path: pathlib.Path, arrays: Mapping[str, str]) -> None:
    """Before anything is allocated: stored, not packed, and no larger than the file is."""
    with zipfile.ZipFile(path) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("packed entries")
    total = 0
    for text in arrays.values():
        dtype, _, shape = text.rstrip("]").partition("[")
        total += jnp.dtype(dtype).itemsize * math.prod(int(n) for n in shape.split(",") if n)
    if total > path.stat().st_size:
        raise ValueError(f"{total} bytes of arrays in a file of {path.stat().st_size}")


def _typed(array: np.ndarray, text: str) -> np.ndarray:
    return array.view(jnp.bfloat16) if text.startswith("bfloat16[") else array
