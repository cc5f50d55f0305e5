"""Infrared frames: what compares ways to enlarge them, and makes small frames of large ones."""

import pathlib

from wxjax import errors, files
from wxjax.settings import Call


def compare(call: Call) -> None:
    """wxjax compare DIR|DIR:STEPS ... [--data=DIR] [--out=DIR]

    One table of several infrared runs on the same frames, beside bicubic: PSNR, SSIM,
    LPIPS, the mean error in grey levels, each with its interval over frames; differences
    from bicubic frame by frame; cost; and the busiest window of each frame from every run.
    DIR:STEPS samples a diffusion in so many steps. Without --data, the first run's own test
    split. --data takes HR/ with LR/ beside it, or large frames alone, made small as the
    first run was trained.

    examples:
      wxjax compare runs/linear runs/edsr runs/irsr --data=frames --out=results
      wxjax compare runs/irsr:1 runs/irsr:4 runs/irsr:15 --data=frames
    """
    from wxjax.recipes import infrared
    from wxjax.report import frames as report

    if not call.arguments:
        raise errors.InputError(
            "compare: expected workdirs, for example `wxjax compare runs/linear runs/irsr`."
        )
    first = infrared.parse(call.arguments[0])[0]
    if first == "bicubic":
        raise errors.InputError("compare: bicubic is in every table; name runs beside it.")
    config = infrared.system(pathlib.Path(first))[0]
    source = infrared.source(config, call.flags.data)
    out = pathlib.Path(call.flags.out or "comparison")
    made = infrared.compare(call.arguments, source, out, samples=config.evaluate.samples)
    report.build(out)
    tell(made, out)


def evaluate(config, call: Call) -> None:
    """`evaluate` of an infrared run: on its own test split, or on a folder of frames."""
    from wxjax.recipes import infrared
    from wxjax.report import frames as report

    if not call.flags.data:
        infrared.test(config, call.workdir, infrared.source(config, None))
        tell(files.read_json(call.workdir / "frames.json"), call.workdir)
        return
    source = infrared.source(config, call.flags.data)
    name = pathlib.Path(call.flags.data).resolve().name
    out = pathlib.Path(call.flags.out or call.workdir / "evaluate" / name)
    samples, border = config.evaluate.samples, config.evaluate.crop_border
    made = infrared.compare([str(call.workdir)], source, out, samples=samples, crop_border=border)
    report.build(out)
    tell(made, out)


def tell(made: dict, out: pathlib.Path) -> None:
    for way, entry in made["ways"].items():
        figures = ", ".join(f"{name} {entry[name]['mean']:.3f}" for name in ("psnr", "ssim"))
        print(f"{way:24s} {figures}, lpips {entry['lpips']['mean']:.4f}")
    print(f"report: {out / 'index.html'}")


def shrink(call: Call) -> None:
    """wxjax shrink DIR --out=DIR [--degradation=pillow-bicubic|matlab-bicubic|real-esrgan]

    Makes small frames of large ones, by 4: writes HR/ and LR/ with equal file names, which
    training (--config.data.root) and --data take. 8 and 16 bits are kept, grey stays grey.
    pillow-bicubic is to the bit what Pillow makes, and what DifIISR's test pairs are.

    examples:
      wxjax shrink M3FD/Ir --out=pairs
      wxjax shrink frames --out=hard --degradation=real-esrgan
    """
    from wxjax.data import shrinking

    if len(call.arguments) != 1 or not call.flags.out:
        raise errors.InputError(
            "shrink: expected a folder and --out=DIR, such as `wxjax shrink frames --out=pairs`."
        )
    name = call.flags.degradation or "pillow-bicubic"
    count = shrinking.shrink(call.arguments[0], call.flags.out, name)
    print(f"{call.flags.out}: {count} pairs in HR/ and LR/, {name}")
