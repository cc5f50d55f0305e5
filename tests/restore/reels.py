"""Films for tests, made by PyAV alone: every kind of track, tag and flaw."""

import pathlib
from fractions import Fraction

import av
import numpy as np

FAST = {"libx264": {"preset": "ultrafast"}, "libx265": {"preset": "ultrafast"}}
FAST["libx265"]["x265-params"] = "log-level=none"
FAST["libvpx-vp9"] = {"deadline": "realtime", "auto-alt-ref": "0"}


def picture(number, size):
    """uint8 `[h w 3]`: a gradient that moves."""
    x = np.arange(size[0])[None, :, None] + np.arange(size[1])[:, None, None] * np.ones(3)
    return np.uint8((4 * x + 9 * number + [0, 40, 80]) % 200 + 20)


def reel(
    path: pathlib.Path,
    *,
    codec="libx264",
    kind="yuv420p",
    size=(96, 64),
    count=10,
    rate=10,
    options=None,
    context=None,
    sounds=(),
    subtitle=None,
    chapters=(),
    tags=None,
    cover=None,
    attached=None,
    turn=None,
    format=None,
    container=None,
    seconds=None,
    start=0,
) -> pathlib.Path:
    """A film.

    Args:
      context: attributes of the picture's codec; sounds: (codec, tags, flags, options) each;
      subtitle: (codec, tags, flags); chapters: titles; cover: codec of a picture track;
      attached: (name, mimetype, bytes); turn: degrees, or (degrees, hflip, vflip).
      container: options of the muxer; seconds: of sound; start: of the first frame and sound.
    """
    with av.open(str(path), "w", format=format, container_options=container or {}) as film:
        film.metadata.update(tags or {})
        stream = film.add_stream(
            codec, rate=rate, options={**FAST.get(codec, {}), **(options or {})}
        )
        stream.width, stream.height, stream.pix_fmt = *size, kind
        for name, value in (context or {}).items():
            setattr(stream.codec_context, name, value)
        if turn is not None:
            stream.set_display_rotation(*(turn if isinstance(turn, tuple) else (turn,)))
        tracks = [heard(film, *entry) for entry in sounds]
        text = described(film.add_mux_stream(subtitle[0]), *subtitle[1:]) if subtitle else None
        art = film.add_stream(cover, rate=1) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 16, 16, "yuvj420p"
            art.disposition = 1024
        divide(film, chapters, 1000 * count / float(rate))
        if attached:
            film.add_attachment(*attached)
        film.start_encoding()
        if art is not None:
            film.mux(art.encode(frame_of(np.full((16, 16, 3), 99, np.uint8), "yuvj420p", 0)))
        if text is not None:
            film.mux(words(text, subtitle[0] == "mov_text"))
        for number in range(count):
            frame = frame_of(picture(number, size), kind, number + round(start * rate))
            frame.time_base = 1 / Fraction(rate)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        for track in tracks:
            sound(film, track, seconds or count / float(rate), start)
    return path


def heard(film, name, tags, flags, more):
    """A track of sound."""
    track = film.add_stream(name, rate=more.get("rate", 16000))
    track.layout = more.get("layout", "mono")
    if "bit_rate" in more:
        track.bit_rate = more["bit_rate"]
    return described(track, tags, flags)


def divide(film, titles, length):
    """Chapters of one length, of a film of `length` milliseconds."""
    ends = np.linspace(0, length, len(titles) + 1).astype(int).tolist()
    common = {"time_base": Fraction(1, 1000)}
    film.set_chapters([
        {"id": i + 1, "start": ends[i], "end": ends[i + 1], "metadata": {"title": title}, **common}
        for i, title in enumerate(titles)
    ])  # fmt: skip


def words(track, timed):
    """A packet of a subtitle, half a second long."""
    data = b"Hello"
    packet = av.Packet(len(data).to_bytes(2) + data if timed else data)
    packet.pts = packet.dts = 100
    packet.duration, packet.time_base, packet.stream = 500, Fraction(1, 1000), track
    return packet


def described(track, tags, flags):
    track.metadata.update(tags)
    track.disposition = flags
    return track


def frame_of(pixels, kind, pts):
    if kind.startswith(("yuva", "rgba", "argb", "bgra", "gbrap")):
        h, w = pixels.shape[:2]
        alpha = np.uint8(np.linspace(0, 255, w))[None, :, None] * np.ones((h, 1, 1), np.uint8)
        pixels = np.concatenate([pixels, alpha], -1)
    source = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[-1] == 4 else "rgb24")
    frame = source.reformat(format=kind)
    frame.pts = pts
    return frame


def sound(film, track, seconds, begin):
    rate, channels = track.rate, track.layout.nb_channels
    wave = np.sin(np.arange(int(rate * seconds)) / 8).astype(np.float32) / 4
    for start in range(0, len(wave), 1000):
        part = np.repeat(wave[None, start : start + 1000], channels, 0)
        frame = av.AudioFrame.from_ndarray(part.copy(), format="fltp", layout=track.layout.name)
        frame.sample_rate, frame.pts = rate, start + begin * rate
        frame.time_base = Fraction(1, rate)
        film.mux(track.encode(frame))
    film.mux(track.encode(None))


def cut(source: pathlib.Path, target: pathlib.Path, share: float) -> pathlib.Path:
    """The first part of a file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def flip(source: pathlib.Path, target: pathlib.Path, places, seed=0) -> pathlib.Path:
    """The file with bytes in a stretch `(from, to)`, in shares, replaced."""
    data = bytearray(source.read_bytes())
    first, last = (int(len(data) * share) for share in places)
    data[first:last] = np.random.default_rng(seed).bytes(last - first)
    target.write_bytes(bytes(data))
    return target
