"""As what a film's pictures are written: codec, pixel format, and what that loses."""

import dataclasses
from collections.abc import Mapping

from wxjax import errors
from wxjax.data import containers, video
from wxjax.data.containers import av


@dataclasses.dataclass(frozen=True)
class Codec:
    """A choice of `--codec`.

    Attributes:
      encoders: FFmpeg's, the first that fits; options: theirs, and `exact` those without loss.
      quality: for people; sides: the least and the most pixels of a side.
      home: the ending of a container that surely holds it.
    """

    encoders: tuple[str, ...]
    options: Mapping[str, str]
    quality: str
    sides: tuple[int, int] = (1, 1 << 16)
    exact: Mapping[str, str] | None = None
    home: str = ".mkv"


_X265 = "pools=none:frame-threads=1:bframes=0:log-level=none"  # the same bytes on every machine
CODECS: dict[str, Codec] = {
    "h264": Codec(
        ("libx264", "libx264rgb"),
        {"crf": "14", "preset": "medium", "bf": "0"},
        "crf 14",
        (2, 16384),
        {"qp": "0", "preset": "medium", "bf": "0"},
    ),
    # libx265 corrupts memory below 64 pixels
    "hevc": Codec(
        ("libx265",),
        {"crf": "14", "preset": "medium", "x265-params": _X265},
        "crf 14",
        (64, 8192),
        {"preset": "medium", "x265-params": f"{_X265}:lossless=1"},
    ),
    "vp9": Codec(
        ("libvpx-vp9",),
        {"crf": "18", "b": "0", "lag-in-frames": "0", "deadline": "good", "auto-alt-ref": "0"},
        "crf 18",
        (1, 65535),
        {"lossless": "1", "lag-in-frames": "0", "deadline": "good", "auto-alt-ref": "0"},
    ),
    "av1": Codec(
        ("libsvtav1",),
        {"crf": "18", "preset": "6", "svtav1-params": "lp=1:pred-struct=1"},
        "crf 18",
        (64, 8704),
    ),
    "prores": Codec(("prores_ks",), {"vendor": "apl0"}, "intermediate", (2, 16384), home=".mov"),
    "ffv1": Codec(("ffv1",), {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}, ""),
    "magicyuv": Codec(("magicyuv",), {}, "", home=".mov"),
    "png": Codec(("png",), {}, "", home=".mov"),
    "qtrle": Codec(("qtrle",), {}, "", home=".mov"),
    "v210": Codec(("v210",), {}, "", home=".mov"),
    "v410": Codec(("v410",), {}, "", home=".mov"),
    "r210": Codec(("r210",), {}, "", home=".mov"),
}
_NEVER_LOSSY = frozenset(name for name, codec in CODECS.items() if not codec.quality)
_ANY_SIDES = {"ffv1", "vp9"}  # chroma of odd sides is rounded up; others refuse it
_MEZZANINE = {"prores", "dnxhd", "cfhd"}  # lossy, meant to be edited again
_PRORES = {"Proxy": "proxy", "LT": "lt", "Standard": "standard", "HQ": "hq"}


@dataclasses.dataclass(frozen=True)
class Target:
    """How one film will be written.

    Attributes:
      suffix, muxer: of the container; codec: of `CODECS`; encoder, options: FFmpeg's.
      format: FFmpeg's pixel format; lossless: whether encoding loses nothing.
      quality: of a lossy one, for people; notes: what the choice loses or changes.
    """

    suffix: str
    muxer: str
    codec: str
    encoder: str
    options: Mapping[str, str]
    format: str
    lossless: bool
    quality: str
    notes: tuple[str, ...]


def known(codec: str) -> None:
    """InputError where `--codec` names none."""
    if codec not in ("auto", *CODECS):
        raise errors.unknown("--codec", codec, ("auto", *CODECS))


def choose(about: video.Info, suffix: str, codec: str = "auto") -> Target:
    """The codec that `--codec` names, else the one that suits the source and its container.

    Lossless films stay lossless; ProRes stays ProRes; HEVC, and 10 bits of another codec than
    H.264, become HEVC; WebM has VP9; all else is H.264.

    Raises:
      InputError: where the codec named cannot take this film.
    """
    home = containers.kind(f"x{suffix}")
    if codec != "auto":
        known(codec)
        return _target(about, home, codec, codec, exact=about.lossless and codec == about.codec)
    wanted = _natural(about, home)
    faults = []
    for name in dict.fromkeys((*wanted, *home.codecs, "ffv1")):
        try:
            return _target(about, home, name, wanted[0], exact=about.lossless)
        except errors.InputError as error:
            faults.append(error)
    raise faults[0]


def _natural(about: video.Info, home: containers.Kind) -> tuple[str, ...]:
    if about.lossless:
        # what has no encoder, or no place in the container, goes to FFV1: it loses nothing either
        held = about.codec in CODECS and all(
            containers.holds(home.muxer, name) for name in CODECS[about.codec].encoders
        )
        return (about.codec, "ffv1") if held else ("vp9",) if home.muxer == "webm" else ("ffv1",)
    if home.muxer == "webm":
        return ("av1", "vp9") if about.bits > 8 else ("vp9",)
    if about.codec in _MEZZANINE:
        return ("prores",) if home.muxer != "mp4" else ("hevc", "h264")
    deep = about.bits > 8 and about.codec != "h264"
    return ("hevc", "h264") if about.codec == "hevc" or deep else ("h264",)


def _target(about: video.Info, home: containers.Kind, name: str, wanted: str, exact: bool):
    """`name` for this film; InputError where it cannot take it."""
    codec, notes = CODECS[name], []
    _fits(about, name)
    encoder, format = _encoder(about, name)
    suffix, muxer = home.written, home.muxer
    if not containers.holds(muxer, encoder):
        suffix = codec.home
        muxer = containers.KINDS[suffix].muxer
        notes.append(f"{home.written} cannot hold {name}: written as {suffix}")
    elif f".{about.tag}" != suffix and home.written not in _endings(home):
        notes.append(f"{home.name} is not written here: written as {suffix}")
    lossless = name in _NEVER_LOSSY or bool(exact and codec.exact)
    options = dict(codec.exact if lossless and codec.exact else codec.options)
    options |= _special(about, name, format, options)
    notes += losses(about, format)
    if about.lossless and not lossless:
        notes.append(f"the film was lossless, {name} ({codec.quality}) is lossy")
    if name != wanted:
        notes.append(f"{wanted} cannot take {about.width}x{about.height}: {name}")
    if about.light.display + about.light.levels and name not in ("h264", "hevc", "av1"):
        notes.append(f"HDR10 mastering and light levels left out: {name} cannot carry them")
    quality = "" if lossless else codec.quality
    return Target(suffix, muxer, name, encoder, options, format, lossless, quality, tuple(notes))


def _endings(home: containers.Kind) -> set[str]:
    """The endings whose films keep their container."""
    return {end for end, kind in containers.KINDS.items() if kind is home}


def _fits(about: video.Info, name: str) -> None:
    least, most = CODECS[name].sides
    for side in (about.width, about.height):
        if not least <= side <= most:
            expected = f"{name} takes sides from {least} to {most}"
            cure = "Cure: --codec=ffv1." if name != "ffv1" else ""
            raise errors.bad("size", f"{about.width}x{about.height}", expected, cure)


def _encoder(about: video.Info, name: str) -> tuple[str, str]:
    """The first encoder of a codec that is there, and the pixel format that loses least."""
    lib = av()
    best = None
    for encoder in CODECS[name].encoders:
        if encoder not in lib.codecs_available:
            continue
        formats = [f.name for f in lib.codec.Codec(encoder, "w").video_formats or ()]
        if name not in _ANY_SIDES:
            formats = [format for format in formats if whole(about, format)]
        found = _nearest(about, formats)
        if found and (best is None or found[0] < best[0]):
            best = (*found, encoder)
    if best is None:
        raise errors.InputError(f"video: this PyAV has no {name} encoder for {about.format}.")
    return best[2], best[1]


def _nearest(about: video.Info, formats: list[str]) -> tuple[int, str] | None:
    """How much is lost, and the pixel format; None where none is left."""
    from av.codec.codec import find_best_pix_fmt_of_list

    if not formats:
        return None
    if about.format in formats:
        return 0, about.format
    best, loss = find_best_pix_fmt_of_list(formats, about.format, about.alpha)
    return int(loss) + 1, best.name


def whole(about: video.Info, name: str) -> bool:
    """Whether a pixel format's chroma divides the sides."""
    spec = av().VideoFormat(name, 16, 16)
    return not (
        about.width % (16 // spec.chroma_width(16)) or about.height % (16 // spec.chroma_height(16))
    )


def losses(about: video.Info, name: str) -> list[str]:
    """What going from the film's pixel format to `name` loses, in words."""
    lib = av()
    old, new = lib.VideoFormat(about.format, 16, 16), lib.VideoFormat(name, 16, 16)
    alpha = lambda spec: any(part.is_alpha for part in spec.components)
    size = lambda spec: (spec.chroma_width(16), spec.chroma_height(16))
    bits = max(part.bits for part in new.components)
    out = []
    if alpha(old) and not alpha(new):
        out.append("alpha left out")
    if size(new) < size(old) and len(old.components) > 2:
        out.append(f"chroma halved ({about.format} to {name})")
    if bits < about.bits:
        out.append(f"{about.bits} bits become {bits}")
    if old.is_rgb and not new.is_rgb:
        out.append(f"RGB becomes {name}")
    return out


def _special(about: video.Info, name: str, format: str, options: Mapping) -> dict[str, str]:
    """Options that depend on the film: HDR10 data, ProRes' profile."""
    shown, levels = about.light.mastering(), ",".join(map(str, about.light.levels))
    if name == "prores":
        known = next((p for said, p in _PRORES.items() if said in about.profile), "hq")
        if "444" in format:
            known = "4444xq" if "XQ" in about.profile else "4444"
        return {"profile": known} | ({"alpha_bits": "16"} if "yuva" in format else {})
    keys = {"h264": ("x264-params", "mastering-display", "cll")}
    keys["hevc"] = ("x265-params", "master-display", "max-cll")
    keys["av1"] = ("svtav1-params", "mastering-display", "content-light")
    if name not in keys or not (shown or levels):
        return {}
    option, display, light = keys[name]
    parts = [options.get(option, ""), f"{display}={shown}" * bool(shown)]
    return {option: ":".join(filter(None, [*parts, f"{light}={levels}" * bool(levels)]))}
