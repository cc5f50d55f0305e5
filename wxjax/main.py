"""The console script: `wxjax --help` says what it can do."""

import os
import pathlib
import sys
from collections.abc import Sequence

import wxjax
from wxjax import errors


def run(argv: Sequence[str] | None = None) -> None:
    """Parses, dispatches, and turns a user's slip into one line and exit code 2."""
    argv = list(sys.argv if argv is None else argv)
    try:
        if "--version" in argv[1:2]:
            print(f"wxjax {wxjax.__version__}", flush=True)
        elif argv[1:2] == ["help"] or "--help" in argv[1:] or "-h" in argv[1:]:
            print(help_text(argv), flush=True)
        else:
            from wxjax import commands

            commands.main(argv)
    except errors.InputError as error:
        print(f"wxjax: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to flush at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def help_text(argv: Sequence[str]) -> str:
    """Help of the command that `argv` names, else of the program."""
    from wxjax import command, commands

    words = [word for word in argv[1:] if not word.startswith("-") and word != "help"]
    if not words:
        return command.overview(commands.COMMANDS)
    if words[0] not in commands.COMMANDS:
        raise errors.unknown("command", words[0], commands.COMMANDS)
    return command.text(words[0], commands.COMMANDS[words[0]])


if __name__ == "__main__":
    # `python configs` must be importable where the program is run from a checkout.
    sys.path.insert(0, str(pathlib.Path.cwd()))
    run()
