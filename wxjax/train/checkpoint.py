"""Checkpoints: train state and data iterator together, and never one that lies.

A step is `<folder>/<number>/`, written by Orbax in the background and complete once its
manifest stands. Older steps go only after that.
"""

import contextlib
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from wxjax import errors, files
from wxjax import mesh as meshes
from wxjax.train import manifest, weights
from wxjax.train.optimizer import name
from wxjax.train.state import TrainState

save_variables = weights.save


class _Quiet(logging.Filter):
    """Orbax narrates each save in 190 lines; its errors pass.

    Not those of its futures: it raises them too, and they are reported from there in one line
    instead of a traceback a thread.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if "orbax" not in record.pathname:
            return True
        return record.levelno >= logging.ERROR and not record.pathname.endswith("future.py")


_QUIET = _Quiet()


def _silence() -> None:
    logging.getLogger("absl").addFilter(_QUIET)  # adding one filter twice adds it once


def steps(folder: os.PathLike | str) -> list[int]:
    """The complete steps of a checkpoint folder, ascending."""
    found = pathlib.Path(folder).glob(f"*/{manifest.NAME}")
    return sorted(int(path.parent.name) for path in found if path.parent.name.isdecimal())


def newest(folder: os.PathLike | str, warn: Callable[[str], None]) -> tuple[int, dict] | None:
    """The newest step whose every file is as written, with its manifest's `about`.

    A damaged one is named to `warn` and the step before it is taken.

    Raises:
      InputError: where there are complete steps and all are damaged.
    """
    damaged = []
    for step in reversed(steps(folder)):
        try:
            return step, manifest.verify(pathlib.Path(folder) / str(step))
        except manifest.Damaged as error:
            damaged.append(f"checkpoint {step} is damaged and not used: {error}")
            warn(damaged[-1])
    if damaged:
        raise errors.InputError(
            f"{str(folder)!r}: no checkpoint is intact ({damaged[0]}). "
            "Remove the folder to start again."
        )
    return None


def best_step(folder: os.PathLike | str, metric: str) -> int | None:
    """The complete step with the best evaluation, the later of equals; None where there is none.

    Args:
      metric: such as 'eval/psnr'; '-' before it means lower is better; '' gives None.
    """
    named, scores = metric.removeprefix("-"), {}
    for step in steps(folder) if named else ():
        about = files.read_json(pathlib.Path(folder) / str(step) / manifest.NAME)["about"]
        score = about.get("metrics", {}).get(named)
        if score is not None:
            scores[step] = -score if metric.startswith("-") else score
    return max(scores, key=lambda step: (scores[step], step)) if scores else None


def describe(state: TrainState) -> dict[str, str]:
    """Every leaf of a state as {'variables/params/kernel': 'float32[3,3]'}."""
    leaves = jax.tree.leaves_with_path(_parts(state))
    return weights.describe({name(path): leaf for path, leaf in leaves})


def _parts(state: TrainState) -> dict[str, Any]:
    train = {"step": state.step, "params": state.params, "opt_state": state.opt_state}
    return {"train": train, "variables": state.variables}


def source_of(batches: Any) -> str | None:
    """A stable description of the data: repr of `batches.source`, or None where there is none."""
    text = repr(getattr(batches, "source", None))
    return None if text == "None" or re.search(r" at 0x[0-9a-f]+", text) else text


class Store:
    """The checkpoints of one run. Use as a context manager: leaving it waits for the last save.

    Attributes:
      best: name of the metric whose best step is kept besides the last ones, for example
        'eval/psnr'; '-' before it means lower is better; '' keeps the last ones only.
    """

    def __init__(
        self, folder: os.PathLike | str, *, keep: int, best: str = "", warn: Callable = print
    ):
        if keep < 1:
            raise errors.bad("checkpoint.keep", keep, "expected at least 1")
        _silence()
        self.folder = pathlib.Path(folder).absolute()
        self._keep, self._best, self._warn = keep, best, warn
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future | None = None
        self._saving: int | None = None
        if jax.process_index() == 0:
            self._clean()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self.wait()
        except errors.InputError:
            if kind is None:
                raise
        finally:
            self._pool.shutdown()

    def _clean(self) -> None:
        """Removes what a killed run left: temporary folders, and steps without a manifest."""
        left = []
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                tmp = "orbax-checkpoint-tmp" in path.name
                half = path.name.isdecimal() and not (path / manifest.NAME).exists()
                if path.is_dir() and (tmp or half):
                    left.append(path.name)
                    shutil.rmtree(path, ignore_errors=True)
        if left:
            self._warn(f"removed what an interrupted save left: {', '.join(sorted(left))}")

    def newest(self) -> tuple[int, dict] | None:
        """As the function of this name; damaged steps are set aside as '<step>.damaged'."""
        if jax.process_index() == 0:
            found = newest(self.folder, self._warn)
            for step in steps(self.folder):
                if found and step > found[0]:
                    aside = self.folder / f"{step}.damaged"
                    shutil.rmtree(aside, ignore_errors=True)
                    os.replace(self.folder / str(step), aside)
        step = meshes.from_first(found[0] if jax.process_index() == 0 and found else -1)
        return None if step < 0 else (step, manifest.verify(self.folder / str(step)))

    def save(self, state: TrainState, batches: Any, about: Mapping[str, Any]) -> None:
        """Starts a save and returns once the arrays have left the devices.

        Args:
          about: JSON that `restore` and `newest` give back, such as {'metrics': {...}}.

        Raises:
          InputError: where this save cannot start or the one before it failed.
        """
        self.wait()
        step = int(state.step)
        about = {"step": step, **about, "arrays": describe(state), "source": source_of(batches)}
        self._saving = step
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            response = ocp.save_checkpointables_async(
                self.folder / str(step), {**_parts(state), "data": batches}
            )
        self._pending = self._pool.submit(self._commit, response, self.folder / str(step), about)

    def _commit(self, response: Any, folder: pathlib.Path, about: dict) -> None:
        try:
            response.result()
            if jax.process_index() == 0:
                manifest.write(folder, about)
                self._prune()
        except BaseException:
            for path in self.folder.glob(f"{folder.name}*"):
                if not (path / manifest.NAME).exists():
                    shutil.rmtree(path, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def _explained(self):
        try:
            yield
        except Exception as error:  # whatever the storage raises, the run must stop and say why
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            if code := re.search(r"os_error_code='(\d+)'", reason):  # tensorstore, not an OSError
                error = OSError(int(code[1]), os.strerror(int(code[1])))
            if isinstance(error, OSError):
                reason = str(files.explain(error, self.folder))
            intact = steps(self.folder)
            raise errors.InputError(
                f"checkpoint {self._saving} was not saved: {reason.rstrip('.')}. "
                + (f"Step {intact[-1]} is intact; " if intact else "")
                + "nothing later is kept."
            ) from error

    def check(self) -> None:
        """Raises what a background save has raised meanwhile; costs nothing else."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Blocks until the last save is complete, manifest included."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._explained():
                pending.result()

    def _prune(self) -> None:
        have = steps(self.folder)
        kept = {*have[-self._keep :], best_step(self.folder, self._best)}
        for step in set(have) - kept:
            # Without its manifest a half-removed step counts as none.
            (self.folder / str(step) / manifest.NAME).unlink()
            shutil.rmtree(self.folder / str(step), ignore_errors=True)

    def amend(self, step: int, about: dict) -> None:
        """Replaces what the manifest of a complete step says besides its files."""
        if jax.process_index() == 0:
            with self._explained():
                manifest.write(self.folder / str(step), about)


def restore(
    folder: os.PathLike | str, step: int, about: dict, abstract: TrainState, batches: Any
) -> TrainState:
    """The state of an intact `step`; `batches` is moved to where it stood.

    Args:
      about: what the step's manifest says.
      abstract: shapes with shardings, on whatever devices there are today.

    Raises:
      InputError: where model, optimizer or data are not those of the run.
    """
    _silence()
    path = pathlib.Path(folder).absolute() / str(step)
    lines = weights.differences(about["arrays"], describe(abstract))
    if lines:
        raise errors.InputError(
            f"{str(path)!r}: made by another model or optimizer. Choose another workdir, or "
            f"remove this one.\n{lines}"
        )
    now, then = source_of(batches), about.get("source")
    if now and then and now != then:
        raise errors.InputError(
            f"{str(path)!r}: the data changed since this checkpoint: then {then}, now {now}. "
            "Put it back, or choose another workdir."
        )
    try:
        parts = ocp.load_checkpointables(path, {**_parts(abstract), "data": batches})
    except Exception as error:  # storage and data iterators raise what they like
        reason = " ".join(str(error).split())[:400]
        raise errors.InputError(f"cannot go on from {str(path)!r}: {reason}.") from error
    train, variables = parts["train"], dict(parts["variables"])
    ema = variables.pop("params")
    stats = {**abstract.stats, **variables}
    return TrainState(train["step"], train["params"], stats, train["opt_state"], ema)


def load_variables(folder: os.PathLike | str, step: int | None = None) -> dict[str, Any]:
    """Averaged parameters and statistics as NumPy, verified by SHA-256; needs no model.

    Args:
      folder: a run's folder, its checkpoints folder, or one with weights.npz.
      step: which step of a run; None takes the newest intact one.

    Raises:
      InputError: where there is none, or the step asked for is damaged.
    """
    folder = pathlib.Path(folder)
    if (folder / weights.ARRAYS).exists() or (folder / weights.CARD).exists():
        return weights.load(folder)[0]
    folder = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    _silence()
    warn = logging.getLogger("wxjax").warning
    try:
        found = (step, manifest.verify(folder / str(step))) if step else newest(folder, warn)
    except manifest.Damaged as error:
        have = ", ".join(map(str, steps(folder))) or "none"
        raise errors.InputError(
            f"{str(folder / str(step))!r}: {error}. Complete steps: {have}."
        ) from error
    if found is None:
        raise errors.InputError(f"{str(folder)!r}: holds no weights and no complete checkpoint.")
    step, about = found
    start = "variables/"
    listed = {k.removeprefix(start): v for k, v in about["arrays"].items() if k.startswith(start)}
    abstract = weights.unflatten({key: _empty(text) for key, text in listed.items()})
    path = folder.absolute() / str(step)
    return ocp.load_checkpointables(path, {"variables": abstract})["variables"]


def _empty(text: str) -> np.ndarray:
    dtype, _, shape = text.rstrip("]").partition("[")
    return np.empty([int(n) for n in shape.split(",") if n], jnp.dtype(dtype))
