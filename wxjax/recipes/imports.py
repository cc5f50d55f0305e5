"""Weights from elsewhere as a workdir that every command takes."""

import datetime
import pathlib

from ml_collections import ConfigDict

import wxjax
from wxjax import errors, files, systems
from wxjax.interop import state_files, torch_weights
from wxjax.train import provenance, weights


def convert(
    system: str, path: pathlib.Path, out: pathlib.Path, *, overwrite: bool = False
) -> tuple[ConfigDict, int]:
    """Reads a checkpoint of `system` and writes its weights into `out`.

    Returns:
      The config under which they are a trained run, for `out/config.json`, and the number
      of parameters. Without that file `out` is no run, so the caller writes it last.

    Raises:
      InputError: for an unknown system, a file that cannot be read or does not fit, and
        an `out` that holds something else already.
    """
    if system not in systems.published():
        raise errors.unknown("system", system, systems.published())
    if any((out / name).exists() for name in ("config.json", "system")) and not overwrite:
        raise errors.InputError(f"--out={str(out)!r}: holds a run already. Give --overwrite.")
    state = state_files.read(path)
    try:
        model, variables, _ = torch_weights.read(system, state)
    except errors.InputError as error:
        raise errors.InputError(f"{str(path)!r}: {error}") from None
    config = systems.published()[system].config(model)
    weights.save(
        out / "system",
        variables,
        {
            "system": config.system,
            "version": wxjax.__version__,
            "commit": provenance.commit(),
            "seed": config.seed,
            "data_hash": None,
            "imported_from": {"name": path.name, "sha256": files.sha256(path)},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )
    return config, sum(x.size for x in weights.flatten(variables).values())
