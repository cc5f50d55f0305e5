"""Sound that the film's container cannot hold, in a codec that it can."""

from typing import Any

from wxjax.data import containers

# For each container: codecs without loss, and codecs with some, in order of choice.
CHOICES = {
    "mp4": (("alac",), ("aac",)),
    "mov": (("pcm_s16le", "pcm_s24le", "alac"), ("aac",)),
    "matroska": (("flac", "pcm_s16le"), ("aac",)),
    "webm": ((), ("libopus",)),
}
_PER_CHANNEL = {"aac": 96_000, "libopus": 80_000}  # bits a second
_RATES = {"libopus": 48_000}
_WIDE = ("s32", "flt", "dbl", "s64")  # samples that 16 bits cannot hold


def lossless(stream: Any) -> bool:
    """Whether a track's codec loses nothing."""
    names = ("pcm_s", "pcm_u", "pcm_f", "flac", "alac", "tta", "wavpack", "truehd", "mlp", "ape")
    return stream.codec_context.name.startswith(names)


def exact(stream: Any, encoder: str) -> bool:
    """Whether transcoding to `encoder` loses nothing of what is in the track."""
    kind = stream.codec_context.format.name.removesuffix("p")
    if encoder in _PER_CHANNEL or kind in ("flt", "dbl", "s64"):
        return False
    return not (kind == "s32" and encoder == "pcm_s16le")


def layout(context: Any) -> str:
    """Where the channels stand; the usual places where a track gives their number alone."""
    name, count = context.layout.name, context.layout.nb_channels
    usual = ("mono", "stereo", "2.1", "quad", "5.0", "5.1", "6.1", "7.1")
    return usual[count - 1] if "channels" in name and 0 < count <= len(usual) else name


def encoder(stream: Any, muxer: str) -> str:
    """The encoder to put a track in a container with; empty where none will do."""
    if stream.codec_context is None or not stream.codec_context.sample_rate:
        return ""
    without, lossy = CHOICES.get(muxer, ((), ()))
    wide = stream.codec_context.format.name.startswith(_WIDE)
    without = [name for name in without if not (wide and name == "pcm_s16le")]
    for name in (*without, *lossy) if lossless(stream) else (*lossy, *without):
        if _opens(stream, muxer, name):
            return name
    return ""


def _opens(stream: Any, muxer: str, name: str) -> bool:
    import io

    lib = containers.av()
    try:
        with lib.open(io.BytesIO(), "w", format=muxer) as film:
            Transcoder(film, stream, name)
            film.start_encoding()
    except (lib.error.FFmpegError, ValueError, MemoryError):
        return False
    return True


class Transcoder:
    """One track, decoded and encoded again; its times stay.

    Attributes:
      stream: the new track; damaged: packets that could not be decoded.
    """

    def __init__(self, film: Any, stream: Any, name: str):
        source = stream.codec_context
        rate = _RATES.get(name, source.sample_rate)
        self.stream = film.add_stream(name, rate=rate)
        context = self.stream.codec_context
        context.layout = layout(source)
        formats = [f.name for f in context.codec.audio_formats or ()]
        own = source.format.name
        near = [f for f in formats if f.removesuffix("p") == own.removesuffix("p")]
        alike = [f for f in formats if f.startswith(_WIDE) == own.startswith(_WIDE)]
        if near or alike:
            context.format = (near or alike)[0]
        if name in _PER_CHANNEL:
            context.bit_rate = _PER_CHANNEL[name] * max(1, source.layout.nb_channels)
        self._source, self._lib, self.damaged = source, containers.av(), 0

    def push(self, packet: Any | None) -> list[Any]:
        """Packets that are ready once `packet` is in; None ends the track."""
        out = []
        try:
            frames = self._source.decode(packet)
        except self._lib.error.FFmpegError:
            self.damaged += packet is not None
            frames = []
        for frame in frames:
            out += self.stream.encode(frame)
        return out + (list(self.stream.encode(None)) if packet is None else [])
