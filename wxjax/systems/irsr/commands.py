"""Infrared frames: what compares ways to enlarge them, and makes small frames of large ones."""

import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from wxjax import errors, files
from wxjax.command import DATA, OUT, Call, Command, Flag
from wxjax.systems import Evaluated, EvaluateOptions

GROUP = "infrared frames (irsr)"


def compare(call: Call) -> None:
    """One table of several infrared runs on the same frames, beside bicubic: PSNR, SSIM,
    LPIPS, the mean error in grey levels, each with its interval over frames; differences
    from bicubic frame by frame; cost; and the busiest window of each frame from every run.
    DIR:STEPS samples a diffusion in so many steps. Without --data, the first run's own test
    split. --data takes HR/ with LR/ beside it, or large frames alone, made small as the
    first run was trained.

    examples:
      wxjax compare runs/linear runs/edsr runs/irsr --data=frames --out=results
      wxjax compare runs/irsr:1 runs/irsr:4 runs/irsr:15 --data=frames
    """
    from wxjax.systems.irsr import recipe, report

    if not call.arguments:
        raise errors.InputError(
            "compare: expected workdirs, for example `wxjax compare runs/linear runs/irsr`."
        )
    first = recipe.parse(call.arguments[0])[0]
    if first == "bicubic":
        raise errors.InputError("compare: bicubic is in every table; name runs beside it.")
    config = recipe.system(pathlib.Path(first))[0]
    source = recipe.source(config, call.flags.data)
    out = pathlib.Path(call.flags.out or "comparison")
    made = recipe.compare(call.arguments, source, out, samples=config.evaluate.samples)
    report.build(out)
    print("\n".join([*lines(made), f"report: {out / 'index.html'}"]))


COMPARE = Command(
    compare, "several infrared runs on the same frames, in one table", GROUP,
    arguments="DIR|DIR:STEPS ...",
    flags=(
        DATA._replace(help="frames to compare on: HR/ with LR/, or large ones", part=False),
        OUT._replace(help="where the table goes (default comparison)"),
    ),
)  # fmt: skip


def evaluate(config: ConfigDict, workdir: pathlib.Path, options: EvaluateOptions) -> Evaluated:
    """`evaluate` of an infrared run: on its own test split, or on a folder of frames."""
    from wxjax.systems.irsr import recipe, report

    source = recipe.source(config, options.data)
    if not options.data:
        recipe.test(config, workdir, source)
        return Evaluated(workdir, lines(files.read_json(workdir / "frames.json")))
    out = options.folder(workdir)
    samples, border = config.evaluate.samples, config.evaluate.crop_border
    made = recipe.compare([str(workdir)], source, out, samples=samples, crop_border=border)
    report.build(out)
    return Evaluated(out, lines(made))


def lines(made: Mapping) -> list[str]:
    """A line per way to enlarge."""
    out = []
    for way, entry in made["ways"].items():
        figures = ", ".join(f"{name} {entry[name]['mean']:.3f}" for name in ("psnr", "ssim"))
        out.append(f"{way:24s} {figures}, lpips {entry['lpips']['mean']:.4f}")
    return out


def shrink(call: Call) -> None:
    """Makes small frames of large ones, by 4: writes HR/ and LR/ with equal file names, which
    training (--config.data.root) and --data take. 8 and 16 bits are kept, grey stays grey.
    pillow-bicubic is to the bit what Pillow makes, and what DifIISR's test pairs are.

    examples:
      wxjax shrink M3FD/Ir --out=pairs
      wxjax shrink frames --out=hard --degradation=real-esrgan
    """
    from wxjax.systems.irsr.data import shrinking

    if len(call.arguments) != 1 or not call.flags.out:
        raise errors.InputError(
            "shrink: expected a folder and --out=DIR, such as `wxjax shrink frames --out=pairs`."
        )
    name = call.flags.degradation or "pillow-bicubic"
    count = shrinking.shrink(call.arguments[0], call.flags.out, name)
    print(f"{call.flags.out}: {count} pairs in HR/ and LR/, {name}")


SHRINK = Command(
    shrink, "small frames of large ones, for training and measuring", GROUP,
    arguments="DIR",
    flags=(
        OUT,
        Flag("degradation", "how they are made small (default pillow-bicubic)",
             value="pillow-bicubic|matlab-bicubic|real-esrgan"),
    ), device=False,
)  # fmt: skip
