"""The command line and the config file: parsed, checked, saved, read back."""

import contextlib
import difflib
import importlib.machinery
import json
import pathlib
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from wxjax import command as declared
from wxjax import errors, files, migration, overrides, systems
from wxjax.command import TILE_MODES, Call, Command

OFF: tuple[Any, ...] = (0, "", [], "none")
DEFINE: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    list: flags.DEFINE_list,
}


def parse(argv: Sequence[str], commands: Mapping[str, Command]) -> Call:
    """Raises InputError for an unknown command, flag or config key, and for a wrong type."""
    words, rest = overrides.split(argv[1:])
    file, rest = config_file(rest)
    name = named(rest, commands)
    command = commands[name]
    configs = ["--config"] * bool(file or words)
    declared.refuse_unknown([*configs, *rest], name, commands)
    values = flags.FlagValues()
    for flag in command.flags:
        define(values, flag)
    with explained():
        _, *arguments = values(["wxjax", *rest])
    for flag in command.flags:
        given = values[flag.name].value
        if flag.choices and given is not None and given not in flag.choices:
            raise errors.unknown(f"--{flag.name}", given, flag.choices)
    workdir = values["workdir"].value if "workdir" in values else None
    workdir = pathlib.Path(workdir or default_workdir(file))
    config = None
    if file:
        config = read_file(file)
        override(config, words)
    if arguments[:1] == [name]:
        arguments = arguments[1:]
    parts = [flag.name for flag in command.flags if flag.part and values[flag.name].present]
    return Call(name, arguments, values, config, workdir, words, parts)


def named(words: Sequence[str], commands: Mapping[str, Command]) -> str:
    """The command of a command line, `train` where none is named."""
    wanting = {
        f"--{flag.name}"
        for command in commands.values()
        for flag in command.flags
        if flag.kind is not bool
    }
    before = ""
    for word in words:
        if not word.startswith("-") and before not in wanting:
            break
        before = word
    else:
        return "train"
    if word in commands:
        return word
    path = pathlib.Path(word)
    if path.is_dir() or path.suffix.lower() in PICTURES:
        raise errors.InputError(f"command={word!r}: did you mean: wxjax restore {word}")
    raise errors.unknown("command", word, commands)


PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".mp4", ".m4v", ".mov", ".mkv",
            ".webm", ".heic", ".avif", ".jxl", ".dng", ".bmp", ".gif")  # fmt: skip


def define(values: flags.FlagValues, flag: declared.Flag) -> None:
    bounds = {} if flag.least is None else {"lower_bound": flag.least}
    DEFINE[flag.kind](flag.name, flag.default, flag.help, flag_values=values, **bounds)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """absl's complaints as one line each."""
    try:
        yield
    except errors.InputError:
        raise
    except (flags.Error, ValueError) as error:
        text = str(error.args[0] if error.args else error)
        text = re.sub(r"^FATAL Flags parsing error:\s*", "", text)
        raise errors.InputError(f"command line: {' '.join(text.split())}") from error


def config_file(words: Sequence[str]) -> tuple[str, list[str]]:
    """FILE[:SIZE] of `--config=`, and the other words."""
    found, rest = "", []
    for i, word in enumerate(words):
        match = re.fullmatch(r"--?config(?:=(.*))?", word)
        if match and not match[1]:
            following = words[i + 1] if i + 1 < len(words) else "FILE"
            raise errors.InputError(f"--config: write it as one word, --config={following}.")
        if match:
            found = match[1]
        else:
            rest.append(word)
    return found, rest


def read_file(named: str) -> ConfigDict:
    """The locked config of FILE[:SIZE], also of one that lies not beside the caller.

    Raises:
      InputError: where there is no such file or size, or it cannot be run.
    """
    text, colon, size = named.partition(":")
    path = pathlib.Path(text)
    if not path.exists():
        import configs

        packaged = pathlib.Path(configs.__file__).parent / path.name
        if not (path.parent.name == "configs" and packaged.exists()):
            known = sorted(p.name for p in packaged.parent.glob("*.py") if p.stem[0] != "_")
            known = [f"configs/{n}" for n in known if n != "common.py"]
            raise errors.unknown("--config", text, known)
        path = packaged
    try:
        loader = importlib.machinery.SourceFileLoader(f"_config_{path.stem}", str(path))
        module = types.ModuleType(loader.name)
        loader.exec_module(module)
        sizes = getattr(module, "SIZES", None)
        if colon and sizes and size not in sizes:
            close = difflib.get_close_matches(size, sizes, n=1)
            cure = f"Did you mean {text}:{close[0]}?" if close else ""
            raise errors.bad("--config", named, f"expected a size of {', '.join(sizes)}", cure)
        config = module.get_config(size) if colon else module.get_config()
    except errors.InputError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise errors.InputError(f"--config={named}: {reason}") from error
    return config.lock()


def override(config: ConfigDict, words: Sequence[str]) -> None:
    """Sets `KEY=VALUE` words in a config, as its system allows."""
    if words:
        system = systems.load(config.system)
        weights = {group: late.resolve for group, late in system.weights.items()}
        overrides.apply(config, words, lists=system.lists, weights=weights)


def default_workdir(named: str) -> str:
    """`runs/<config name>`, with the size where one is given."""
    if not named:
        return "runs/moei"
    path, _, size = named.partition(":")
    return f"runs/{pathlib.Path(path).stem}" + (f"-{size}" if size else "")


def plain(config: ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json_best_effort())


def read(workdir: pathlib.Path) -> ConfigDict:
    """The config that a workdir was made with; an older one as it would be written today.

    Raises:
      InputError: where there is none, or it is no config of ours.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise errors.InputError(
            f"workdir={str(workdir)!r}: there is no trained run (no config.json). "
            "Train one with `wxjax --config=configs/moei.py`, or name it with --workdir=DIR."
        )
    stored = files.read_json(path)
    if not isinstance(stored, dict) or "system" not in stored:
        raise errors.InputError(f"{str(path)!r}: not the config of a run (it names no system).")
    return ConfigDict(migration.migrate(stored))


def save(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Writes `config.json`; refuses a workdir that another config has trained.

    A setting that did not exist yet when it was trained, and is off here, is no difference.
    """
    path = workdir / "config.json"
    if path.exists():
        free = systems.load(config.system).free
        old, new = flatten(plain(read(workdir))), flatten(plain(config))
        changed = [
            f"{name}={old.get(name)!r} there, {new.get(name)!r} here"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
            and name.split(".")[0] not in free
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
    """The config given on the command line, else the one that the workdir was made with.

    Raises:
      InputError: also for a flag that the config's system does not take.
    """
    config = call.config
    if config is None:
        config = read(call.workdir)
        override(config, call.overrides)
    check_flags(call, config.system)
    mode = call.flags["tile-mode"].value if "tile-mode" in call.flags else None
    if mode == "average" and call.command != "restore":
        raise errors.bad("--tile-mode", mode, f"{call.command} measures the network as it is")
    return tiled(config, mode)


def check_flags(call: Call, system: str) -> None:
    """InputError for a flag of the command that a run of this system does not take."""
    allowed = systems.load(system).flags.get(call.command, ())
    for name in call.parts:
        if name not in allowed:
            names = ", ".join(f"--{other}" for other in sorted(allowed))
            raise errors.InputError(
                f"{call.command}: a run of {system} takes no --{name}"
                + (f"; it takes {names}." if names else ".")
            )


def run_of(call: Call, system: str) -> ConfigDict:
    """The config of a workdir that must hold a run of that system."""
    config = load(call)
    if config.system != system:
        raise errors.InputError(
            f"{str(call.workdir)!r} holds a run of {config.system}: {call.command} needs one of "
            f"{system}. Name it with --workdir=DIR, or train one with "
            f"`wxjax --config=configs/{system}.py`."
        )
    return config


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
    out: dict[str, Any] = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        out |= flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return out
