"""wxjax [command] --config=configs/moei.py --workdir=runs/moei

commands:
  train      train what is missing, evaluate, write the report (the default)
  evaluate   measure a trained model on your pairs
  restore    clean photographs or folders of them
  plan       memory and time that restoring a picture will take
  bench      time, memory and operations of a trained model
  report     report.md and index.html from the files of a workdir
  prepare    audit a data set: near-duplicates, misalignment, leaks, splits
  convert    a published PyTorch checkpoint as a folder that restore takes
  compare    several infrared runs on the same frames, in one table
  shrink     small frames of large ones, for training and measuring
  attribute  which pixels of a photograph a restored window depends on
  render     a fixed view at any hour: pictures or a film of the day
  bake       a fixed view as a basis and a page with an hour slider
  search     rank a folder of people or vehicles by likeness to one (reid)
  explain    why two of them are alike to the network
  study      smaller networks, federated training, a search over fusion blocks (reid)

`wxjax COMMAND --help` explains one command, with examples.

examples:
  wxjax --config=configs/moei.py
  wxjax restore photo.jpg holiday/ --out=restored --workdir=runs/moei
  wxjax evaluate --data=DIR --workdir=runs/moei
"""

import os
import pathlib
import sys

from wxjax import errors


def run(argv: list[str] | None = None) -> None:
    """The console script: parses, dispatches, and turns a user's slip into one line."""
    argv = list(sys.argv if argv is None else argv)
    try:
        if "--help" in argv[1:] or "-h" in argv[1:]:
            print(help_text(argv), flush=True)
            return
        from wxjax import commands

        commands.main(argv)
    except errors.InputError as error:
        print(f"wxjax: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to flush at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def help_text(argv: list[str]) -> str:
    """Help of the command that `argv` names, else of the program."""
    words = [word for word in argv[1:] if not word.startswith("-")]
    if not words:
        return __doc__.strip()
    from wxjax import commands

    if words[0] not in commands.COMMANDS:
        return str(errors.unknown("command", words[0], commands.COMMANDS))
    return (commands.COMMANDS[words[0]].__doc__ or "").strip()


if __name__ == "__main__":
    # `python configs` must be importable where the program is run from a checkout.
    sys.path.insert(0, str(pathlib.Path.cwd()))
    run()
