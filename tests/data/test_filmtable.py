"""docs/files_films.md says what the program does: every entry is tried."""

import pathlib
from fractions import Fraction

import av
import pytest

from tests.restore.reels import reel
from wxjax.data import containers, filmtable
from wxjax.data import video as io
from wxjax.restore import photo, video

WRITTEN = {kind.written: kind for kind in containers.KINDS.values()}
LIGHT = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
DEEP = dict(color_primaries=9, color_trc=16, colorspace=9, color_range=1)
TAGS = {"title": "T", "custom": "thing", "creation_time": "2020-05-06T07:08:09.000000Z"}
TAGS |= {"location": "+48.1000+011.5000/", "timecode": "10:00:00:00"}
SUBTITLES = {".mkv": "subrip", ".webm": "webvtt"}
ALPHA = {".mov": ("prores_ks", "yuva444p10le"), ".webm": ("libvpx-vp9", "yuva420p")}
EXACT = {".mov": ("qtrle", "rgb24"), ".webm": ("libvpx-vp9", "yuv420p")}


def source(path, feature):
    """A film in its container with as much of everything as PyAV can put in."""
    end, options = path.suffix, {}
    sound = "libopus" if end == ".webm" else "aac"
    rate = {"rate": 48000}
    options["sounds"] = [(sound, {"language": "eng", "title": "One"}, 0, rate),
                         (sound, {"language": "ger", "title": "Two"}, 1, rate)]  # fmt: skip
    options["subtitle"] = (SUBTITLES.get(end, "mov_text"), {"language": "fre"}, 64)
    options |= dict(tags=TAGS, chapters=("A", "B"), format=WRITTEN[end].muxer)
    if end in (".mp4", ".m4v", ".mov") and feature == "tags":
        options["container"] = {"movflags": "use_metadata_tags"}
    if feature != "tags":  # with these, MP4 and QuickTime write tags in another way
        options["tags"] = {name: text for name, text in TAGS.items() if name != "custom"}
    if end == ".mkv":
        options["attached"] = ("font.ttf", "application/x-font", b"font")
    if feature == "cover":
        options |= {"cover": "mjpeg"} if end in (".mp4", ".m4v") else {}
        if end == ".mkv":
            options["attached"] = ("cover.jpg", "image/jpeg", b"\xff\xd8\xff\xd9")
    codec, kind = ("libvpx-vp9" if end == ".webm" else "libx264"), "yuv420p"
    if feature == "alpha":
        codec, kind = ALPHA.get(end, ("ffv1", "yuva420p"))
    if feature == "lossless":
        codec, kind = EXACT.get(end, ("ffv1", "yuv420p"))
        options["options"] = {"lossless": "1"} if end == ".webm" else {}
    if feature in ("deep", "hdr10"):
        codec, kind = "libsvtav1" if end == ".webm" else "libx265", "yuv420p10le"
        params = f"master-display={LIGHT}:max-cll=1000,400:log-level=none"
        options |= {"context": DEEP}
        options["options"] = {} if end == ".webm" else {"x265-params": params}
    if feature == "aspect":
        options["context"] = {"sample_aspect_ratio": Fraction(4, 3)}
    return reel(path, codec=codec, kind=kind, count=6, **options)


def has(path, feature):
    """Whether a file has it, by PyAV."""
    about = io.info(path)
    with av.open(str(path)) as film:
        tags = {name.lower(): text for name, text in film.metadata.items()}
        sounds, streams = film.streams.audio, list(film.streams)
        subtitles = film.streams.subtitles
        picture = next(s for s in film.streams.video if not s.disposition & 1024)
        timecode = {**tags, **{k.lower(): v for k, v in picture.metadata.items()}}.get("timecode")
        return bool({
            "sounds": lambda: len(sounds) == 2,
            "subtitles": lambda: len(subtitles) == 1,
            "chapters": lambda: [c["metadata"].get("title") for c in film.chapters()] == ["A", "B"],
            "title": lambda: tags.get("title") == "T",
            "languages": lambda: [s.language for s in sounds] == ["eng", "ger"],
            "flags": lambda: [s.disposition & 1 for s in sounds] == [0, 1],
            "forced": lambda: subtitles[0].disposition & 64,
            "names": lambda: sounds[0].metadata.get("title") == "One",
            "tags": lambda: tags.get("custom") == "thing",
            "created": lambda: tags.get("creation_time", "").startswith("2020-05-06T07:08:09"),
            "location": lambda: tags.get("location") == TAGS["location"],
            "timecode": lambda: (timecode or "").startswith("10:00:00:0"),
            "cover": lambda: any(s.type == "video" and s.disposition & 1024 for s in streams),
            "attachments": lambda: any(s.type == "attachment" for s in streams),
            "rate": lambda: picture.average_rate == 10,
            "aspect": lambda: about.aspect == Fraction(4, 3),
            "alpha": lambda: about.alpha,
            "hdr10": lambda: about.light.levels == (1000, 400) and about.light.display,
            "deep": lambda: about.bits == 10,
            "lossless": lambda: about.lossless,
        }[feature]())  # fmt: skip


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("feature", containers.FEATURES)
def test_what_the_table_says_is_kept_is_kept(tmp_path, ending, feature):
    made = source(tmp_path / f"film{ending}", feature)
    stream = video.EachFrame(photo.identity)
    report = video.restore([made], tmp_path / "out", stream, settings={}, progress=False)
    assert len(report.done) == 1 and not report.failed, report.failed
    assert report.done[0].suffix == ending
    held = feature in WRITTEN[ending].kept
    assert has(report.done[0], feature) == held, (has(made, feature), held)


@pytest.mark.parametrize("ending", containers.SUFFIXES)
def test_every_ending_is_read_and_written_as_the_table_says(tmp_path, ending):
    codec = {".webm": "libvpx-vp9", ".wmv": "wmv2", ".asf": "wmv2", ".dv": "dvvideo",
             ".mpg": "mpeg2video", ".mpeg": "mpeg2video", ".vob": "mpeg2video", ".flv": "flv",
             ".3gp": "mpeg4", ".3g2": "mpeg4", ".mxf": "mpeg2video"}  # fmt: skip
    codec = codec.get(ending, "libx264")
    options = {".mts": {"format": "mpegts"}, ".qt": {"format": "mov"}, ".m4v": {"format": "mp4"}}
    if ending == ".ogv":
        pytest.skip("no Theora encoder in PyAV")
    size = (720, 576) if ending == ".dv" else (96, 64)
    more = {"kind": "yuv420p", "rate": 25, "count": 6, "size": size, **options.get(ending, {})}
    made = reel(tmp_path / f"film{ending}", codec=codec, **more)
    stream = video.EachFrame(photo.identity)
    report = video.restore([made], tmp_path / "out", stream, settings={}, progress=False)
    assert [path.name for path in report.done] == [f"film{containers.KINDS[ending].written}"]
    assert not report.failed
    assert len(list(io.read(report.done[0]))) == 6


def test_the_page_is_made_of_the_tables():
    page = pathlib.Path(__file__).parents[2] / "docs" / "files_films.md"
    assert page.read_text("utf-8") == filmtable.markdown()
