"""The command line and the config file: parsed, checked, saved, read back."""

import contextlib
import json
import os
import pathlib
import re
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from wxjax import errors, files

TILE_MODES = ("plain", "blend", "average", "local")
# May differ from the config that a workdir was trained with.
FREE = ("evaluate", "tiles", "study", "federate", "shrink", "search")
OFF = (0, "", [], "none")


class Call(NamedTuple):
    """A parsed command line."""

    command: str
    arguments: list[str]
    flags: flags.FlagValues
    config: ConfigDict | None
    workdir: pathlib.Path


def parse(argv: list[str], commands) -> Call:
    """Raises InputError for an unknown command, flag or config key, and for a wrong type."""
    values = flags.FlagValues()
    define(values)
    argv = resolve_config(argv)
    config_flags.DEFINE_config_file(
        "config", None, "Config file, with :size.", flag_values=values, sys_argv=argv
    )
    with explained():
        words = values(argv)[1:]
    command, *arguments = words or ["train"]
    if command not in commands:
        raise errors.unknown("command", command, commands)
    named = next((a for a in argv if re.match(r"--?config=", a)), "")
    workdir = pathlib.Path(values.workdir or default_workdir(named))
    config = values.config if named else None
    return Call(command, arguments, values, config, workdir)


def define(values: flags.FlagValues) -> None:
    """The flags of all commands; each command's help says which it reads."""
    string, integer, boolean = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_boolean
    string("workdir", None, "Where a run keeps all it makes.", flag_values=values)
    string("data", None, "Folder with input/ and gt/, or a meta.jsonl.", flag_values=values)
    string("out", None, "Where results go.", flag_values=values)
    string("model", None, "A folder from train or convert, or 'identity'.", flag_values=values)
    string("degradation", None, "Where --data does not say; shrink: how.", flag_values=values)
    flags.DEFINE_list("size", ["512x512", "3840x2160"], "Width x height.", flag_values=values)
    integer("repeats", 5, "Measured runs a case.", lower_bound=1, flag_values=values)
    boolean("breakdown", False, "Bench: time and work part by part.", flag_values=values)
    string("memory", None, "What restore and plan may take, such as 8GiB.", flag_values=values)
    integer("devices", None, "Devices that share a picture.", lower_bound=1, flag_values=values)
    string("tile-mode", None, "How tiles meet: " + ", ".join(TILE_MODES), flag_values=values)
    string("window", None, "y,x,size in pixels: what attribute asks about.", flag_values=values)
    string("clear", None, "The clear picture of attribute's path.", flag_values=values)
    integer("steps", 50, "Gradients along the path.", lower_bound=1, flag_values=values)
    string("gallery", None, "Folder of shots that search ranks.", flag_values=values)
    integer("top", 10, "Results of search.", lower_bound=1, flag_values=values)
    boolean("reference", None, "Video: remember the frame before.", flag_values=values)
    boolean("scene-reset", True, "Video: forget it at a scene's cut.", flag_values=values)
    integer("reset-every", 0, "Video: and every so many frames.", lower_bound=0, flag_values=values)
    string("time", None, "Hours to render: 18.25, 6,7.5 or 0:23.5:0.5.", flag_values=values)
    string("pixels", None, "A table of y,x: render only these.", flag_values=values)
    boolean("baked", False, "Render from the baked basis.", flag_values=values)
    flags.DEFINE_float("rate", 12.0, "Frames a second of a film.", flag_values=values)
    boolean("overwrite", False, "Do again what is done already.", flag_values=values)


@contextlib.contextmanager
def explained():
    """absl's and ml_collections' complaints as one line each."""
    try:
        yield
    except errors.InputError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        text = str(error.args[0] if error.args else error)
        text = re.sub(r"^FATAL Flags parsing error:\s*", "", text)
        raise errors.InputError(f"command line: {' '.join(text.split())}") from error


def resolve_config(argv: list[str]) -> list[str]:
    """`--config=configs/x.py:size` also where no such file lies beside the caller."""
    out = []
    for i, word in enumerate(argv):
        if word in ("--config", "-config") and i + 1 < len(argv):
            raise errors.InputError("--config FILE: write it as one word, --config=FILE.")
        match = re.fullmatch(r"--?config=(?P<path>[^:]*)(?P<size>:.*)?", word)
        if match and not os.path.exists(match["path"]):
            path = pathlib.Path(match["path"])
            import configs

            packaged = pathlib.Path(configs.__file__).parent / path.name
            if not (path.parent.name == "configs" and packaged.exists()):
                known = sorted(p.name for p in packaged.parent.glob("*.py") if p.stem[0] != "_")
                raise errors.unknown("--config", match["path"], [f"configs/{n}" for n in known])
            word = f"--config={packaged}{match['size'] or ''}"
        out.append(word)
    return out


def default_workdir(named: str) -> str:
    """`runs/<config name>`, with the size where one is given."""
    if not named:
        return "runs/moei"
    path, _, size = named.partition("=")[2].partition(":")
    return f"runs/{pathlib.Path(path).stem}" + (f"-{size}" if size else "")


def plain(config: ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json_best_effort())


def save(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Writes `config.json`; refuses a workdir that another config has trained.

    A setting that did not exist yet when it was trained, and is off here, is no difference.
    """
    path = workdir / "config.json"
    if path.exists():
        old, new = flatten(files.read_json(path)), flatten(plain(config))
        changed = [
            f"{name}={old.get(name)!r} there, {new.get(name)!r} here"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
            and name.split(".")[0] not in FREE
            and (name in old or new[name] not in OFF)
        ]
        if changed:
            raise errors.InputError(
                f"workdir={str(workdir)!r} holds a run of another config: "
                f"{'; '.join(changed[:3])}{' ...' * (len(changed) > 3)}. "
                "Choose another --workdir, or delete this one."
            )
    files.write_json(path, plain(config))


def load(call: Call) -> ConfigDict:
    """The config given on the command line, else the one that the workdir was made with."""
    mode = call.flags["tile-mode"].value
    if mode == "average" and call.command != "restore":
        raise errors.bad("--tile-mode", mode, f"{call.command} measures the network as it is")
    if call.config is not None:
        return tiled(call.config, mode)
    path = call.workdir / "config.json"
    if not path.exists():
        raise errors.InputError(
            f"workdir={str(call.workdir)!r}: there is no trained run (no config.json). "
            "Train one with `wxjax --config=configs/moei.py`, or name it with --workdir=DIR."
        )
    return tiled(ConfigDict(files.read_json(path)), mode)


def tiled(config: ConfigDict, mode: str | None) -> ConfigDict:
    """The config with its tiles as `--tile-mode` says; as they are where it is None.

    'plain': tiles side by side; 'blend': an overlap of an eighth of the tile; 'average':
    the same four times, the picture moved by a few pixels (evaluate/averaging.py); 'local':
    as blend, and no tile sees another. What each costs and leaves: experiments/seams.
    """
    if mode is None:
        return config
    if mode not in TILE_MODES:
        raise errors.unknown("--tile-mode", mode, TILE_MODES)
    overlap = 0 if mode == "plain" else config.tiles.tile // 8
    kind = "local" if mode == "local" else "global"
    with config.unlocked():
        config.tiles.update(overlap=overlap, blend="hann", mode=kind, average=mode == "average")
    return config


def flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    out = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        out |= flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return out
