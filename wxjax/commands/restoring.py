"""Pictures and films through a trained model: restore, plan.

A flag more: add a `Flag` to RESTORE below. What only some systems take (`part=True`) goes
through `RestoreOptions` to the system, which names the flag in its `SYSTEM.flags`.
"""

import functools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from wxjax import errors, models, settings, systems
from wxjax.command import (
    DEVICES,
    MEMORY,
    OUT,
    OVERWRITE,
    TILE_MODE,
    WORKDIR,
    Call,
    Command,
    Flag,
)

# The names of `data/encoders.py: CODECS`, which a test compares: importing it costs a second.
CODECS = (
    "h264", "hevc", "vp9", "av1", "prores", "ffv1", "magicyuv", "png", "qtrle", "v210", "v410",
    "r210",
)  # fmt: skip
MODEL = Flag("model", "a shipped model, or a folder from train or convert", value="NAME|DIR")


def restore(call: Call) -> None:
    """Cleans photographs: JPEG, PNG, TIFF, WebP, AVIF, JPEG XL, EXR, BMP, PNM, TGA and QOI in,
    the same kind out, with colours, EXIF, depth and alpha kept, and a JSON record beside
    each; HEIC becomes JPEG, JPEG 2000 and GIF become PNG, or --format says (docs/files.md).
    Folders are mirrored; what is left out or lost is said, a broken file is listed and the
    rest goes on (exit code 1); run again, only what is missing or changed is done.

    Films (.mp4 .mov .mkv .webm, and .avi .mts .wmv and more as .mkv; docs/files_films.md), by
    name or in folders, frame by frame: times, depth, colour tags, every sound, subtitles,
    chapters and titles kept, lossless films lossless, or --codec=h264 hevc vp9 av1 prores ffv1;
    what is lost is said. A film that is cut off or damaged is restored as far as it goes, and
    said (exit code 1). With a video network (configs/mofme_video.py) each frame sees the one
    restored before, if that was worth it on the run's own clips, and the pictures of a folder
    are the frames of one film. Killed, a film goes on from its last complete segment.
    --noreference restores frame by frame, --reference never does, --noscene-reset keeps the
    reference over a cut.

    With an infrared model (configs/irsr.py) frames come out four times as large, 16-bit ones
    at 16 bits, grey ones grey; the network works on brightness, colours are interpolated.

    examples:
      wxjax restore photo.jpg                                   the model that ships
      wxjax restore photo.jpg --route=derain --strength=0.7     its expert for rain, mixed in
      wxjax restore frames/ --out=large --model=runs/irsr
      wxjax restore clip.mp4 --out=restored --model=runs/mofme_video
      wxjax restore holiday/ --out=restored --workdir=runs/moei
      wxjax restore holiday/ --out=restored --tile-mode=average  no lattice on skies, 4x the time
      wxjax restore holiday/ --out=restored --model=dehazexl    a folder from `wxjax convert`
      wxjax restore holiday/ --out=copy --model=identity
      wxjax restore IMG_0001.HEIC --out=restored --format=png    or tiff, avif, jxl, webp, exr ...
      wxjax restore mosaic.tif --out=restored --memory=8GiB     any size, within the memory
    """
    from wxjax.data.video import SUFFIXES as FILMS
    from wxjax.restore import listing, photo, video

    if not call.arguments:
        raise errors.InputError("restore: expected files or folders, for example photo.jpg.")
    out = pathlib.Path(call.flags.out or "restored")
    most, kind = listing.most_pixels(call.flags["max-pixels"].value), call.flags.format or ""
    model = Model(call)
    films, pictures = video.split(call.arguments, out, model.remembers())
    reports = []
    if films and pictures:
        gone, present = listing.absent(pictures)
        pictures = [str(name) for name in present]
        reports += [photo.Report([], [], gone)] if gone else []
        found = listing.aim(listing.find(pictures, besides=out)[0] if pictures else [], kind)
        listing.check(found, pictures, out)  # before hours of films
    if films and pictures and model.enlarges() and not any(map(video.is_film, films)):
        print(f"left out: films in {films[0]!r}: this model enlarges pictures", file=sys.stderr)
        films = []
    if films:
        from wxjax.report import film

        stream, about = model.film(films[0])
        options = dict(settings=about, overwrite=call.flags.overwrite, plot=film.draw)
        options |= dict(codec=call.flags.codec, frames=model.remembers())
        reports.append(video.restore(films, out, stream, **options))
    if pictures:
        restorer, about = model.restorer()
        options = dict(settings=about, overwrite=call.flags.overwrite)
        options |= dict(format=kind, max_pixels=most)
        reports.append(photo.restore(pictures, out, restorer, **options))
    if line := listing.left_out(call.arguments, besides=out, also=FILMS):
        print(line, file=sys.stderr)
    if any(report.failed for report in reports):
        # 2 where nothing at all could be done, 1 where the rest went well
        sys.exit(1 if any(report.done or report.skipped for report in reports) else 2)


class Model:
    """What the command line restores with: a run of a system, or 'identity'."""

    def __init__(self, call: Call):
        named = call.flags.model
        self.identity = named == "identity"
        if self.identity:
            if call.parts or call.overrides:
                given = call.parts[0] if call.parts else "config.KEY=VALUE"
                raise errors.InputError(f"restore: --model=identity takes no --{given}.")
            return
        self.workdir = workdir_of(call)
        self.config = settings.load(call._replace(workdir=self.workdir))
        self.options = systems.RestoreOptions(
            memory=call.flags.memory,
            devices=call.flags.devices,
            route=call.flags.route,
            strength=call.flags.strength,
            reference=call.flags.reference,
            scene_reset=call.flags["scene-reset"].value,
            reset_every=call.flags["reset-every"].value,
        )

    def remembers(self) -> bool:
        """Whether frames are remembered: the pictures of a folder are the frames of one film."""
        return not self.identity and systems.load(self.config.system).film is not None

    def enlarges(self) -> bool:
        """Whether what is restored has more pixels than what came in."""
        return not self.remembers() and getattr(self.restorer()[0], "scale", 1) > 1

    @functools.cache  # noqa: B019  one model a run
    def restorer(self) -> tuple[Any, Mapping[str, Any]]:
        """One float32 picture after the other, and settings for the records."""
        from wxjax.restore import photo

        if self.identity:
            return photo.identity, {"model": "identity"}
        from wxjax.recipes import pictures

        part = systems.part(self.config.system, "restorer", "restores no pictures")
        make = lambda config: part(config, self.workdir, self.options)
        restorer, about = make(self.config)
        restorer.exact = pictures.in_float32(make, self.config)
        return restorer, about

    def film(self, name: str) -> tuple[Any, Mapping[str, Any]]:
        """What restores films, and settings: the system's own stream, else frame by frame."""
        from wxjax.restore.video import EachFrame

        if not self.identity and (make := systems.load(self.config.system).film):
            return make(self.config, self.workdir, self.options)
        restorer, about = self.restorer()
        if self.enlarges():
            raise errors.InputError(
                f"restore: {name!r} is a film; this model enlarges pictures. Save its frames first."
            )
        return EachFrame(restorer), about


def workdir_of(call: Call) -> pathlib.Path:
    """The folder of `--model` or `--workdir`, else of the model that ships."""
    if call.flags.model is None:
        asked = call.flags.workdir is not None or call.config is not None
        return call.workdir if asked else models.ROOT / models.DEFAULT
    workdir = models.folder(call.flags.model) or pathlib.Path(call.flags.model)
    if not (workdir / "config.json").is_file():
        names = ", ".join((*models.names(), "identity"))
        expected = f"expected one of {names}, or a folder that train or convert wrote"
        raise errors.bad("--model", call.flags.model, f"{expected} (it holds no config.json)")
    return workdir


RESTORE = Command(
    restore, "clean photographs, folders of them, and films", "pictures",
    arguments="FILE|DIR ...",
    flags=(
        OUT._replace(help="where restored files go (default restored)"),
        MODEL._replace(help="a shipped model (default weather; see `wxjax models`), a folder "
                       "from train or convert, or 'identity'"),
        Flag("route", "the expert that answers, instead of the router's choice",
             choices=("dense", "dehaze", "derain", "desnow"), part=True),
        Flag("strength", "0 leaves a picture as it is, 1 (default) restores it", float, 1.0,
             part=True),
        WORKDIR, OVERWRITE, MEMORY, DEVICES, TILE_MODE,
        Flag("codec", "films: codec of the pictures (auto: what suits the source)", str, "auto",
             choices=("auto", *CODECS)),
        Flag("format", "the kind of file to write (default the source's own)", value="KIND"),
        Flag("max-pixels", "the largest picture that is read (default 400M)", value="400M"),
        Flag("reference", "films: remember the frame before (default as the run found)", bool,
             part=True),
        Flag("scene-reset", "films: forget it where a scene is cut (default)", bool, True,
             part=True),
        Flag("reset-every", "films: and every so many frames", int, 0, least=0, part=True),
    ),
    config=True,
)  # fmt: skip


def plan(call: Call) -> None:
    """Says what restoring a picture, or a frame of a film, takes in memory and time; and how:
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
    workdir = workdir_of(call)
    config = settings.load(call._replace(workdir=workdir))
    make = systems.part(config.system, "plan", "restores whole pictures only: nothing to plan")
    options = systems.RestoreOptions(memory=call.flags.memory, devices=call.flags.devices)
    program = make(config, workdir if call.config is None else None, options)
    for name, entry in zip(call.arguments, pictures.plans(program, call.arguments), strict=True):
        print("\n".join(entry.lines(name)))


PLAN = Command(
    plan, "memory and time that restoring a picture will take", "pictures",
    arguments="FILE ...",
    flags=(MODEL, WORKDIR, MEMORY, DEVICES, TILE_MODE),
    config=True,
)  # fmt: skip
