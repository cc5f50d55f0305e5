"""Pictures and films through a trained model: restore, plan."""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

from wxjax import errors, files, settings
from wxjax.settings import Call


def restore(call: Call) -> None:
    """wxjax restore FILE|DIR ... --out=DIR [--workdir=DIR] [--model=DIR|identity] [--overwrite]
    [--memory=8GiB] [--devices=N] [--[no]reference] [--noscene-reset] [--reset-every=N]

    Cleans photographs: JPEG, PNG, TIFF, WebP in, the same kind out, with profile, EXIF,
    depth and alpha kept, and a JSON record beside each. Folders are mirrored; a broken
    file is listed and the rest goes on (exit code 1); run again, only what is missing
    or changed is done.

    Films (.mp4 .m4v .mov .mkv .webm) frame by frame, times, depth, colour tags and sound
    kept; with a video network (configs/mofme_video.py) each frame sees the one restored
    before, if that was worth it on the run's own clips, and a folder is the frames of one
    film. Killed, a film goes on from its last complete segment. --noreference restores
    frame by frame, --reference never does, --noscene-reset keeps the reference over a cut.

    With an infrared model (configs/irsr.py) frames come out four times as large, 16-bit ones
    at 16 bits, grey ones grey; the network works on brightness, colours are interpolated.

    examples:
      wxjax restore photo.jpg --out=restored
      wxjax restore frames/ --out=large --model=runs/irsr
      wxjax restore clip.mp4 --out=restored --model=runs/mofme_video
      wxjax restore holiday/ --out=restored --workdir=runs/moei
      wxjax restore holiday/ --out=restored --tile-mode=average  no lattice on skies, 4x the time
      wxjax restore holiday/ --out=restored --model=dehazexl    a folder from `wxjax convert`
      wxjax restore holiday/ --out=copy --model=identity
      wxjax restore mosaic.tif --out=restored --memory=8GiB     any size, within the memory
    """
    from wxjax.restore import photo, video

    if not call.arguments:
        raise errors.InputError("restore: expected files or folders, for example photo.jpg.")
    out = pathlib.Path(call.flags.out or "restored")
    model = call.flags.model
    if model and model != "identity" and not (pathlib.Path(model) / "config.json").is_file():
        expected = "expected 'identity' or a folder that train or convert wrote"
        raise errors.bad("--model", model, f"{expected} (it holds no config.json)")
    if model and model != "identity":
        call = call._replace(workdir=pathlib.Path(model))
    remembers = model != "identity" and settings.load(call).recipe == "video"
    films = [
        name
        for name in call.arguments
        if video.is_film(name) or (remembers and pathlib.Path(name).is_dir())
    ]
    pictures = [name for name in call.arguments if name not in films]
    if films and model != "identity" and settings.load(call).recipe == "infrared":
        raise errors.InputError(
            f"restore: {films[0]!r} is a film; this model enlarges pictures. Save its frames first."
        )
    reports = []
    if films:
        from wxjax.report import film

        stream, about = film_stream(call, remembers)
        options = dict(settings=about, overwrite=call.flags.overwrite, plot=film.draw)
        reports.append(video.restore(films, out, stream, **options))
    if pictures:
        restorer, about = photo_restorer(call)
        options = dict(settings=about, overwrite=call.flags.overwrite)
        reports.append(photo.restore(pictures, out, restorer, **options))
    if any(report.failed for report in reports):
        # 2 where nothing at all could be done, 1 where the rest went well
        sys.exit(1 if any(report.done or report.skipped for report in reports) else 2)


def film_stream(call: Call, remembers: bool):
    """What restores films, and its settings: the network's own stream, else frame by frame."""
    from wxjax.recipes import video
    from wxjax.restore.video import EachFrame

    if not remembers:
        restorer, about = photo_restorer(call)
        return EachFrame(restorer), about
    config = settings.load(call)
    video.allow(config, call.flags["scene-reset"].value, call.flags["reset-every"].value)
    return video.streamer(config, call.workdir, call.flags.reference)


def photo_restorer(call: Call):
    """The workdir's system as a function of one float32 picture, and its settings."""
    from wxjax.restore import photo

    if call.flags.model == "identity":
        return photo.identity, {"model": "identity"}
    from wxjax.recipes import evidence, infrared, pictures, single

    config = settings.load(call)
    pictures.allow(config, call.flags.memory, call.flags.devices)
    if config.recipe in ("single", "video"):
        return single.restorer(config, call.workdir)
    if config.recipe == "infrared":
        return infrared.restorer(config, call.workdir)
    task, variables, about = evidence.system(config, call.workdir)
    program = pictures.program(task, variables, config.tiles)

    def restorer(rgb):
        restored, said = program(rgb, force=np.int32(-1))
        index = int(said["route"][0])
        info = {
            "route": evidence.ROUTES[index],
            "index": index,
            "pmax": float(said["confidence"][0]),
            "p": [float(p) for p in said["weights"][0]],
            "abstained": bool(said["abstained"][0]),
            "latency_ms": float(said["latency_ms"]),
            "ms_per_mp": float(said["ms_per_mp"]),
            "mem_gb": float(said["mem_gb"]),
        }
        return restored, info

    restorer.takes_uint8 = program.takes_uint8
    tiles = config.tiles
    return restorer, {
        "model": "MoE-I",
        "weights_hash": files.sha256(call.workdir / "system" / "weights.npz"),
        "commit": about.get("commit"),
        "tile": tiles.tile,
        "overlap": tiles.overlap,
        "blend": tiles.blend,
        "mode": tiles.mode,
        "average": bool(tiles.get("average", False)),
        "temperature": float(variables["calibration"]["temperature"]),
        "lapse": float(variables["calibration"]["lapse"]),
        "tau": float(variables["calibration"]["threshold"]),
    }


def plan(call: Call) -> None:
    """wxjax plan FILE ... [--model=DIR | --config=FILE[:size]] [--memory=8GiB] [--devices=N]

    Says what restoring a picture will take in memory and time, before it is read; and how:
    tiles at a time, encoder maps kept or computed again. --memory is the most that the
    process may hold; restore obeys the same flag. With --config, for a network that is not
    trained yet.

    examples:
      wxjax plan photo.jpg --workdir=runs/moei
      wxjax plan mosaic.tif --model=dehazexl --memory=8GiB
      wxjax plan mosaic.tif --config=configs/dehazexl.py:paper
    """
    from wxjax.recipes import pictures

    if not call.arguments:
        raise errors.InputError("plan: expected files, for example photo.jpg.")
    for name, entry in zip(
        call.arguments, pictures.plans(_planned(call), call.arguments), strict=True
    ):
        print("\n".join(entry.lines(name)))


def _planned(call: Call) -> Callable:
    """The network that plan asks, and no second copy of its weights, which would be counted."""
    from wxjax.recipes import evidence, pictures, single

    workdir = pathlib.Path(call.flags.model or call.workdir)
    config = settings.load(call._replace(workdir=workdir))
    pictures.allow(config, call.flags.memory, call.flags.devices)
    if call.config is not None:
        return pictures.program(*pictures.blank(config), config.tiles)
    trained = evidence.system if config.recipe == "moei" else single.system
    return pictures.program(*trained(config, workdir)[:2], config.tiles)
