"""A command and its flags, declared once: what is parsed, and what `--help` shows.

To give a command one more flag, add a `Flag` to its declaration, beside its function. It is
parsed, checked, shown by `--help`, and read as `call.flags.name`, or as
`call.flags["a-name"].value` where it has a dash.
"""

import pathlib
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wxjax import errors


class Flag(NamedTuple):
    """One flag of a command.

    Attributes:
      name: as typed after `--`.
      help: a sentence for `--help`.
      kind: str, int, float, bool or list (words with commas between).
      default: its value where it is not given; None says that it was not.
      value: what `--help` shows after `=`, such as DIR.
      least: the smallest number allowed.
      choices: the words allowed, where not all are.
      part: whether only the runs of some systems take it (`System.flags`).
    """

    name: str
    help: str
    kind: type = str
    default: Any = None
    value: str = ""
    least: int | None = None
    choices: tuple[str, ...] = ()
    part: bool = False

    def usage(self) -> str:
        if self.kind is bool:
            return f"--[no]{self.name}" if self.default is not False else f"--{self.name}"
        return f"--{self.name}={self.value or '|'.join(self.choices) or 'N'}"


class Command(NamedTuple):
    """A command of the program.

    Attributes:
      run: takes the `Call`; its docstring is what `--help` says, ending in `examples:`.
      summary: a line for the list of all commands.
      group: the heading of that list which it stands under.
      arguments: the words it takes beside flags, for people.
      flags: what it takes; any other flag is refused.
      config: whether it takes `--config=FILE` and `--config.KEY=VALUE`.
      device: whether it computes, and so wants compiled programs kept between runs.
    """

    run: Callable[["Call"], None]
    summary: str
    group: str
    arguments: str = ""
    flags: Sequence[Flag] = ()
    config: bool = False
    device: bool = True


class Call(NamedTuple):
    """A parsed command line.

    Attributes:
      flags: absl's FlagValues of the command's own flags: `call.flags.out`.
      config: what `--config` names, overrides applied; None where it is not given.
      overrides: `KEY=VALUE` words of `--config.KEY=VALUE`, for the config of the workdir.
      parts: the flags given that only some systems' runs take.
    """

    command: str
    arguments: list[str]
    flags: Any
    config: Any
    workdir: pathlib.Path
    overrides: Sequence[str] = ()
    parts: Sequence[str] = ()


WORKDIR = Flag(
    "workdir", "where a run keeps all it makes (default runs/<config name>)", value="DIR"
)
OUT = Flag("out", "where results go", value="DIR")
OVERWRITE = Flag("overwrite", "do again what is done already", bool, False)
DATA = Flag("data", "folder with input/ and gt/, or a meta.jsonl", value="DIR", part=True)
TILE_MODES = ("plain", "blend", "average", "local")
TILE_MODE = Flag("tile-mode", "how tiles meet (default as trained)", choices=TILE_MODES, part=True)
MEMORY = Flag("memory", "what the process may hold, such as 8GiB", value="SIZE", part=True)
DEVICES = Flag("devices", "devices that share a picture", int, least=1, part=True)


def text(name: str, command: Command) -> str:
    """What `wxjax NAME --help` shows."""
    doc = textwrap.dedent("    " + (command.run.__doc__ or "").strip())
    about, _, examples = doc.partition("examples:\n")
    flags = [(flag.usage(), flag.help) for flag in command.flags]
    if command.config:
        flags.append(("--config=FILE[:SIZE]", "a config file, such as configs/moei.py:tiny"))
        flags.append(("--config.KEY=VALUE", "another value than the config's, or the run's"))
    usage = " ".join(filter(None, ["wxjax", name, command.arguments, "[FLAGS]" if flags else ""]))
    lines = [usage, "", about.strip(), ""]
    if flags:
        lines += ["flags:", *columns(flags), ""]
    lines += ["examples:", textwrap.indent(textwrap.dedent(examples).rstrip(), "  ")]
    return "\n".join(lines)


def overview(commands: Mapping[str, Command]) -> str:
    """What `wxjax --help` shows."""
    lines = ["wxjax [COMMAND] [FLAGS]"]
    for group in dict.fromkeys(command.group for command in commands.values()):
        rows = [(name, c.summary) for name, c in commands.items() if c.group == group]
        lines += ["", f"{group}:", *columns(rows, 10)]
    return "\n".join(
        [
            *lines,
            "",
            "`wxjax COMMAND --help` or `wxjax help COMMAND` explains one, with examples.",
            "",
            "examples:",
            "  wxjax --config=configs/moei.py",
            "  wxjax restore photo.jpg holiday/ --out=restored --workdir=runs/moei",
            "  wxjax evaluate --data=DIR --workdir=runs/moei",
        ]
    )


def columns(rows: Sequence[tuple[str, str]], width: int = 24) -> list[str]:
    """Two columns; a long left one has a line of its own."""
    out = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, 96 - width) or [""]
        if len(left) > width:
            out.append(f"  {left}")
        else:
            out.append(f"  {left:{width}} {wrapped.pop(0)}")
        out += [f"  {'':{width}} {line}" for line in wrapped]
    return out


def refuse_unknown(words: Iterable[str], name: str, commands: Mapping[str, Command]) -> None:
    """InputError for a flag that the command does not know, its neighbour named."""
    command = commands[name]
    known = {flag.name: flag for flag in command.flags}
    for word in words:
        if word == "--":
            return
        if not word.startswith("-") or word == "-":
            continue
        given = word.lstrip("-").partition("=")[0]
        bare = given.removeprefix("no")
        if given in known or (bare in known and known[bare].kind is bool):
            continue
        if given in ("config", "noconfig") or given.startswith(("config.", "noconfig.")):
            if command.config:
                continue
            raise errors.InputError(f"{name}: takes no --config, for it reads no config.")
        others = [
            other
            for other, entry in commands.items()
            if any(flag.name in (given, bare) for flag in entry.flags)
        ]
        choices = [f"--{flag}" for flag in known]
        error = str(errors.unknown("flag", f"--{given}", choices))
        if others:
            error += f" It is a flag of {', '.join(others)}."
        raise errors.InputError(f"{name}: {error}")
