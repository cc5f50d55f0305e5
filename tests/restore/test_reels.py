"""What a person's films hold comes back, or is named: each case stands for a kind of fault."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import unicodedata
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.restore import reels
from tests.restore.reels import reel
from wxjax import errors, files, lock
from wxjax.commands import restoring
from wxjax.data import encoders, extent, segments
from wxjax.data import video as io
from wxjax.restore import film as film_job
from wxjax.restore import photo, video


def restore(sources, out, **options):
    """A job with a stream that changes nothing."""
    options = {"settings": {}, "progress": False, "segment": 6, **options}
    return video.restore(sources, out, video.EachFrame(photo.identity), **options)


class Watch(video.EachFrame):
    """Counts frames, and calls `at[n]` at the n-th."""

    def __init__(self, at=None):
        super().__init__(photo.identity)
        self.steps, self.at = 0, at or {}

    def step(self, state, frame):
        self.steps += 1
        self.at.get(self.steps, lambda: None)()
        return super().step(state, frame)


def film_of(out, name):
    return files.read_json(out / f"{name}.json")["film"]


def frames(path):
    return [frame.rgb16() for frame in io.read(path)]


def samples(path):
    """The decoded planes of every frame, bit for bit."""
    return [frame.plain.to_ndarray().tolist() for frame in io.read(path)]


def probe(path, *entries):
    """ffprobe's answer, or None where there is none: an independent reader."""
    if not shutil.which("ffprobe"):
        return None
    command = ["ffprobe", "-v", "error", *entries, "-of", "default=nw=1", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ---- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["13:19:57.mp4", "concat:clip.mp4", "a %03d.mp4", "-x.mp4",
                                  "file:x.mkv", "x\ny.mp4", "pipe:0.mp4"])  # fmt: skip
def test_a_name_is_a_name_and_never_a_command(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    reel(pathlib.Path("clip.mp4"), size=(32, 32))
    made = reel(tmp_path / "source.mkv", count=4)
    os.rename(made, name)
    report = restore([name], "out")
    assert [path.name for path in report.done] == [name] and not report.failed
    about = io.info(tmp_path / "out" / name)
    assert (about.width, about.height) == (96, 64)


def test_what_is_in_a_film_is_never_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reel(tmp_path / "secret.mp4")
    (tmp_path / "script.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    report = restore(["script.mp4", "list.mp4"], "out")
    assert len(report.failed) == 2 and not report.done


def test_a_name_that_is_not_text_keeps_its_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    os.rename(reel(tmp_path / "x.mp4", count=3), tmp_path / name)
    report = restore([tmp_path / name], tmp_path / "out")
    assert not report.failed and b"caf\xe9.mp4" in os.listdir(os.fsencode(tmp_path / "out"))


# ---- before any work -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("A/MVI_0001.MP4", "B/MVI_0001.MP4"),
        ("A/clip.mp4", "B/CLIP.mp4"),
        ("A/caf\u00e9.mp4", "B/" + unicodedata.normalize("NFD", "caf\u00e9.mp4")),
        ("A/clip.avi", "B/clip.avi"),  # an .avi is written as .mkv
    ],
)
def test_two_films_that_would_be_one_file_are_refused_before_any_work(tmp_path, names):
    sources = [tmp_path / name for name in names]
    for source in sources:
        source.parent.mkdir(exist_ok=True)
        reel(source, count=3)
    watch = Watch()
    with pytest.raises(errors.InputError, match="would both be written to"):
        video.restore(sources, tmp_path / "out", watch, settings={}, progress=False)
    assert not watch.steps
    whole = restore([tmp_path], tmp_path / "out") if names[0].split("/")[1] == "clip.mp4" else None
    assert whole is None or len(whole.done) == 2  # a folder's tree is kept


def test_two_films_of_one_stem_get_two_names(tmp_path):
    sources = [reel(tmp_path / f"clip.{ending}", count=3) for ending in ("avi", "mkv", "ts")]
    report = restore(sources, tmp_path / "out")
    assert [path.name for path in report.done] == ["clip.avi.mkv", "clip.mkv", "clip.ts.mkv"]
    again = restore(sources, tmp_path / "out")
    assert len(again.skipped) == 3 and not again.done


def test_a_second_job_waits_outside_the_folder(tmp_path):
    source = reel(tmp_path / "clip.mp4", count=3)
    with lock.hold(tmp_path / "out", name=".wxjax.lock", parameter="out"):
        with pytest.raises(errors.InputError, match="this folder. Wait for it"):
            restore([source], tmp_path / "out")
    assert restore([source], tmp_path / "out").done


def test_a_disk_too_small_is_said_before_the_first_frame(tmp_path, monkeypatch):
    source, watch = reel(tmp_path / "clip.mp4"), Watch()
    small = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(film_job.shutil, "disk_usage", lambda path: small)
    with pytest.raises(errors.InputError, match=r"clip.mp4': needs about .* are free"):
        video.restore([source], tmp_path / "out", watch, settings={}, progress=False)
    assert not watch.steps and not list((tmp_path / "out").glob("*clip*"))


def test_a_lossless_film_of_a_lossy_one_needs_room(tmp_path):
    source = reel(tmp_path / "clip.mkv", count=10)
    job = lambda codec: film_job.Film(source, tmp_path / "out" / "clip.mkv", "key", False, codec)
    raw = 96 * 64 * 10 * 12 // 8
    assert job("ffv1").needs() >= raw and job("auto").needs() <= 4 * source.stat().st_size


def test_what_an_encoder_refuses_is_said_before_the_first_frame(tmp_path):
    wide = reel(tmp_path / "wide.mkv", codec="ffv1", size=(17000, 16), count=2)
    good, watch = reel(tmp_path / "good.mp4", count=3), Watch()
    options = dict(settings={}, progress=False, codec="h264")
    report = video.restore([wide, good], tmp_path / "out", watch, **options)
    assert "17000x16" in report.failed[0].reason and "from 2 to 16384" in report.failed[0].reason
    assert watch.steps == 3 and len(report.done) == 1
    assert restore([wide], tmp_path / "out").done  # FFV1 has no such limit
    with pytest.raises(errors.InputError, match="--codec='h246'.*Did you mean 'h264'"):
        restore([good], tmp_path / "out", codec="h246")


def test_a_film_that_does_not_fit_the_memory_is_listed(tmp_path):
    source = reel(tmp_path / "clip.mp4", count=3)

    class Small(Watch):
        def fit(self, height, width, dtype):
            raise errors.InputError(f"memory=1GiB: a film of {width}x{height} takes 2 GiB.")

    stream = Small()
    report = video.restore([source], tmp_path / "out", stream, settings={}, progress=False)
    assert "clip.mp4': memory=1GiB: a film of 96x64" in report.failed[0].reason
    assert not stream.steps and not list((tmp_path / "out").glob(".*parts"))


# ---- while it works ----------------------------------------------------------------------------


def test_sigterm_says_how_to_go_on_and_the_file_is_the_same(tmp_path, capsys):
    sources = [reel(tmp_path / f"{name}.mp4", count=14) for name in "ab"]
    stop = Watch({24: lambda: signal.raise_signal(signal.SIGTERM)})
    options = dict(settings={}, progress=False, segment=4)
    with pytest.raises(SystemExit) as ended:
        video.restore(sources, tmp_path / "out", stop, **options)
    said = capsys.readouterr().err
    assert ended.value.code == 128 + signal.SIGTERM
    assert "1 of 2 films are complete" in said and "goes on from frame 8" in said
    assert "Run the same command again" in said
    rest = Watch()
    video.restore(sources, tmp_path / "out", rest, **options)
    video.restore(sources, tmp_path / "whole", Watch(), **options)
    assert rest.steps == 6
    assert (tmp_path / "out/b.mp4").read_bytes() == (tmp_path / "whole/b.mp4").read_bytes()


def test_one_bad_film_is_listed_and_the_rest_goes_on(tmp_path):
    sources = [reel(tmp_path / f"{name}.mp4", count=4) for name in "abc"]

    def fail():
        raise RuntimeError("a bad\nday")

    report = video.restore(sources, tmp_path / "out", Watch({6: fail}), settings={}, progress=False)
    assert [path.name for path in report.done] == ["a.mp4", "c.mp4"]
    assert report.failed[0].reason == f"{str(sources[1])!r}: RuntimeError: a bad"
    assert not list((tmp_path / "out").glob(".*"))


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path, monkeypatch):
    source = reel(tmp_path / "clip.mp4", count=8)
    full = OSError(errno.ENOSPC, "No space left on device")
    real = segments.Segment.close

    def close(self):
        real(self)
        raise full

    monkeypatch.setattr(segments.Segment, "close", close)
    report = restore([source], tmp_path / "out")
    assert "the disk is full" in report.failed[0].reason
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_memory_that_runs_out_halves_the_tiles_and_goes_on(tmp_path):
    source = reel(tmp_path / "clip.mp4", count=14)

    class Hungry(Watch):
        batch = 4

        def smaller(self):
            self.batch //= 2
            return self.batch > 0

        def step(self, state, frame):
            if self.batch > 1 and self.steps == 9:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
            return super().step(state, frame)

    hungry = Hungry()
    report = video.restore(
        [source], tmp_path / "out", hungry, settings={}, progress=False, segment=4
    )
    assert report.done and not report.failed and hungry.batch == 1
    assert film_of(tmp_path / "out", "clip.mp4")["complete"]
    assert len(frames(tmp_path / "out" / "clip.mp4")) == 14


def test_a_job_killed_while_its_film_gets_its_name_goes_on(tmp_path, monkeypatch):
    source = reel(tmp_path / "clip.mp4", count=8)
    real = os.replace

    def killed(old, new):
        if str(new).endswith("out/clip.mp4"):
            raise KeyboardInterrupt
        real(old, new)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        restore([source], tmp_path / "out")
    monkeypatch.undo()
    watch = Watch()
    report = video.restore(
        [source], tmp_path / "out", watch, settings={}, progress=False, segment=6
    )
    assert report.done and not report.failed and not watch.steps
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clip.mp4", "clip.mp4.frames.jsonl", "clip.mp4.json"]  # fmt: skip


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mp4.json", "clip.mp4.frames.jsonl"])
def test_what_someone_else_made_is_in_the_way_before_any_work(tmp_path, name):
    source, watch = reel(tmp_path / "clip.mp4", count=3), Watch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    report = video.restore([source], tmp_path / "out", watch, settings={}, progress=False)
    assert "in the way" in report.failed[0].reason and not watch.steps
    assert (tmp_path / "out" / name).read_text() == "mine"
    assert restore([source], tmp_path / "out", overwrite=True).done


def test_frames_of_two_sizes_are_refused_before_the_first(tmp_path):
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for number, size in enumerate([(32, 24)] * 5 + [(24, 32)]):
        path = tmp_path / "frames" / f"{number}.png"
        Image.fromarray(reels.picture(number, size)).save(path)
    watch = Watch()
    report = video.restore(
        [tmp_path / "frames"], tmp_path / "out", watch, settings={}, progress=False
    )
    assert "'24x32': expected 32x24, as the first frame" in report.failed[0].reason
    assert not watch.steps


def test_a_frame_that_is_not_finite_is_tried_once_in_float32(tmp_path):
    source = reel(tmp_path / "clip.mp4", count=4)
    calls = []

    def half(rgb):
        calls.append(1)
        return (np.full_like(rgb, np.nan) if len(calls) == 2 else rgb), {}

    half.exact = lambda: photo.identity
    stream = video.EachFrame(half)
    report = video.restore([source], tmp_path / "out", stream, settings={}, progress=False)
    notes = files.read_jsonl(tmp_path / "out" / "clip.mp4.frames.jsonl")
    assert (
        report.done
        and [note.get("float32", False) for note in notes] == [False, True] + [False] * 2
    )
    half.exact = lambda: lambda rgb: (np.full_like(rgb, np.nan), {})
    calls.clear()
    report = video.restore([source], tmp_path / "bad", stream, settings={}, progress=False)
    assert "clip.mp4': the model's output is not finite" in report.failed[0].reason


# ---- complete or said ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "mov"])
def test_a_film_that_is_cut_off_says_so_every_time(tmp_path, ending):
    options = {"movflags": "faststart"} if ending in ("mp4", "mov") else {}
    whole = reel(
        tmp_path / f"whole.{ending}", count=30, size=(160, 96), options={"g": "10", "crf": "5"}
    )
    if options:
        whole = remuxed(whole, tmp_path / f"front.{ending}", options)
    cut = reels.cut(whole, tmp_path / f"cut.{ending}", 0.6)
    report = restore([cut], tmp_path / "out")
    name = report.done[0].name
    assert len(report.done) == len(report.failed) == 1
    about = film_of(tmp_path / "out", name)
    kept = len(frames(tmp_path / "out" / name))
    said = f"ends after {kept / 10:.1f} of 3.0 s"
    assert 5 < kept < 29 and not about["complete"]
    assert said in report.failed[0].reason and said in about["faults"][0]
    again = restore([cut], tmp_path / "out")
    assert again.skipped and said in again.failed[0].reason


def remuxed(source, target, options):
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options) as new:
        streams = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    return target


def test_whole_films_are_complete(tmp_path):
    sources = [
        reel(tmp_path / "long_sound.mkv", sounds=[("aac", {}, 0, {})], seconds=3),
        reel(tmp_path / "short_sound.mp4", count=30, sounds=[("aac", {}, 0, {})], seconds=1),
        reel(tmp_path / "tv.ts", sounds=[("mp2", {}, 0, {"rate": 48000})]),
        reel(tmp_path / "slow.mkv", rate=1, count=3),
    ]
    report = restore(sources, tmp_path / "out")
    assert len(report.done) == 4 and not report.failed


def test_a_broadcast_torn_within_a_packet_says_so(tmp_path):
    whole = reel(tmp_path / "tv.ts", count=20)
    (tmp_path / "cut.ts").write_bytes(whole.read_bytes()[: 188 * 40 + 77])
    report = restore([whole, tmp_path / "cut.ts"], tmp_path / "out")
    assert len(report.done) == 2 and len(report.failed) == 1
    assert "within a packet: it is cut off" in report.failed[0].reason


def test_damage_in_the_middle_is_said_and_what_is_good_is_kept(tmp_path):
    whole = reel(tmp_path / "whole.mp4", count=40, size=(160, 96), options={"g": "5"})
    bad = reels.flip(whole, tmp_path / "bad.mp4", (0.4, 0.55))
    report = restore([bad], tmp_path / "out")
    assert report.done and "frames" in report.failed[0].reason
    assert "the first at" in report.failed[0].reason
    assert not film_of(tmp_path / "out", "bad.mp4")["complete"]
    made = frames(tmp_path / "out" / "bad.mp4")
    assert len(made) > 25 and np.abs(made[-1] / 257.0 - frames(whole)[-1] / 257.0).mean() < 3


def test_a_change_of_size_ends_the_film_and_is_said(tmp_path):
    parts = [reel(tmp_path / "a.ts", count=10), reel(tmp_path / "b.ts", size=(64, 48), count=10)]
    both = tmp_path / "change.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = restore([both], tmp_path / "out")
    assert "the picture changes from 96x64 to 64x48" in report.failed[0].reason
    made = frames(tmp_path / "out" / "change.mkv")
    assert len(made) == 10 and made[0].shape == (64, 96, 3)


# ---- what is in the container ------------------------------------------------------------------


def test_sounds_subtitles_chapters_titles_and_flags_are_carried(tmp_path):
    sounds = [("aac", {"language": "eng", "title": "Commentary"}, 0, {}),
              ("ac3", {"language": "ger"}, 1, {"rate": 48000, "layout": "5.1"})]  # fmt: skip
    tags = {"title": "My film", "custom": "thing", "creation_time": "2020-05-06T07:08:09.000000Z"}
    source = reel(
        tmp_path / "film.mkv", sounds=sounds, tags=tags, chapters=("One", "Two"),
        subtitle=("subrip", {"language": "fre"}, 64 | 128),
        attached=("font.ttf", "application/x-font", b"font" * 9), options={"bf": "0"},
    )  # fmt: skip
    assert not restore([source], tmp_path / "out").failed
    with av.open(str(source)) as old, av.open(str(tmp_path / "out" / "film.mkv")) as new:
        plain = lambda tags: {k.lower(): v for k, v in tags.items() if k.lower() not in
                              ("encoder", "duration")}  # fmt: skip
        assert plain(old.metadata) == plain(new.metadata)
        assert [c["metadata"] for c in new.chapters()] == [{"title": "One"}, {"title": "Two"}]
        for a, b in zip(old.streams, new.streams, strict=True):
            assert (a.type, a.disposition) == (b.type, b.disposition)
            assert plain(a.metadata) == plain(b.metadata)
        assert new.streams[-1].data == b"font" * 9
        assert packets(old, 1) == packets(new, 1) and packets(old, 2) == packets(new, 2)
    about = film_of(tmp_path / "out", "film.mkv")
    assert about["lost"] == [] and about["notes"] == []
    said = probe(tmp_path / "out" / "film.mkv", "-show_entries", "stream=avg_frame_rate")
    assert said is None or "avg_frame_rate=10/1" in said


def packets(container, index):
    container.seek(0)
    found = [bytes(p) for p in container.demux(container.streams[index]) if p.size]
    return found


def test_mp4_keeps_tags_cover_location_and_times(tmp_path):
    tags = {"title": "T", "location": "+48.1000+011.5000/", "creation_time": "2020-05-06T07:08:09Z"}
    sounds = [("aac", {"language": "eng"}, 1, {})]
    source = reel(tmp_path / "a.mp4", tags=tags, sounds=sounds, cover="mjpeg", chapters=("X", "Y"))
    phone = reel(tmp_path / "b.mov", sounds=[("pcm_s16le", {}, 1, {})])
    phone = remuxed_tags(phone, tmp_path / "c.mov")
    assert not restore([source, phone], tmp_path / "out").failed
    with av.open(str(tmp_path / "out" / "a.mp4")) as new:
        assert new.metadata["location"] == "+48.1000+011.5000/" and new.metadata["title"] == "T"
        assert new.metadata["creation_time"].startswith("2020-05-06T07:08:09")
        assert [bool(s.disposition & 1024) for s in new.streams.video] == [False, True]
        assert len(new.chapters()) == 2 and new.streams.audio[0].language == "eng"
    with av.open(str(tmp_path / "out" / "c.mov")) as new:
        assert new.metadata["com.apple.quicktime.make"] == "Apple"
        assert new.streams.video[0].metadata["timecode"].startswith("10:00:00:0")
    assert film_of(tmp_path / "out", "a.mp4")["lost"] == []


def remuxed_tags(source, target):
    tags = {"com.apple.quicktime.make": "Apple", "timecode": "10:00:00:00"}
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options) as new:
        new.metadata.update(tags)
        streams = {s.index: new.add_stream_from_template(s, opaque=True)
                   for s in old.streams if s.type != "data"}  # fmt: skip
        for packet in old.demux(list(old.streams)):
            if packet.size and packet.stream_index in streams:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    return target


def test_sound_that_the_container_cannot_hold_is_transcoded_and_said(tmp_path, capsys):
    amr = reel(tmp_path / "MOV0001.mp4", format="3gp",
               sounds=[("libopencore_amrnb", {}, 1, {"rate": 8000})])  # fmt: skip
    old = reel(tmp_path / "old.mp4", format="mov", sounds=[("pcm_u8", {}, 1, {})])
    wma = reel(
        tmp_path / "old.wmv",
        codec="wmv2",
        sounds=[("wmav2", {}, 1, {"rate": 44100, "bit_rate": 64000})],
    )
    good = reel(tmp_path / "z_good.mp4")
    report = restore([amr, old, wma, good], tmp_path / "out", progress=True)
    assert len(report.done) == 4 and not report.failed
    said = capsys.readouterr().err
    assert "transcoded to aac, lossy" in said and "transcoded to alac, without loss" in said
    assert ".wmv" not in str(report.done) and "written as .mkv" in said
    for name, codec in (("MOV0001.mp4", "aac"), ("old.mp4", "alac"), ("old.mkv", "aac")):
        with av.open(str(tmp_path / "out" / name)) as new:
            sound = new.streams.audio[0]
            assert sound.codec_context.codec.canonical_name == codec
            wave = np.concatenate([f.to_ndarray().reshape(-1) for f in new.decode(sound)])
            assert wave.size >= 7000 and np.abs(wave.astype(float)).max() > 0
    exact = [np.concatenate([f.to_ndarray().reshape(-1) for f in av.open(str(p)).decode(audio=0)])
             for p in (old, tmp_path / "out" / "old.mp4")]  # fmt: skip
    np.testing.assert_array_equal((exact[0].astype(int) - 128) * 256, exact[1][: exact[0].size])


def test_broadcast_times_begin_at_nothing_and_sound_stays_beside_its_pictures(tmp_path):
    source = reel(tmp_path / "tv.ts", start=90,
                  sounds=[("mp2", {"language": "deu"}, 0, {"rate": 48000})])  # fmt: skip
    assert not restore([source], tmp_path / "out").failed
    with av.open(str(source)) as old, av.open(str(tmp_path / "out" / "tv.mkv")) as new:
        first = lambda stream: float(stream.start_time * stream.time_base)
        gap = lambda film: first(film.streams.video[0]) - first(film.streams.audio[0])
        assert old.start_time > 10**6 and new.start_time < 10**5
        assert abs(gap(old) - gap(new)) < 0.002
        assert new.streams.audio[0].language in ("deu", "ger")


def test_closed_captions_in_the_pictures_go_along(tmp_path):
    plain = reel(tmp_path / "plain.ts", count=6)
    source = tmp_path / "captioned.ts"
    said = b"\xfc\x94\x20" * 2  # two pairs of field 1
    user = b"\xb5\x00\x31GA94\x03" + bytes([0xC0 | 2, 0xFF]) + said + b"\xff"
    sei = b"\x00\x00\x00\x01\x06\x04" + bytes([len(user)]) + user + b"\x80"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size:
                made = av.Packet(sei + bytes(packet))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                made.stream = stream
                new.mux(made)

    class Darker(Watch):
        def step(self, state, frame):
            return state, frame // 2, {}

    def captions(path):
        found = [item for frame in io.read(path) for item in frame.plain.side_data]
        return [bytes(item) for item in found if item.type.name == "A53_CC"]

    assert captions(source) and set(captions(source)) == {said}
    for name, stream in (("same", Watch()), ("other", Darker())):
        video.restore([source], tmp_path / name, stream, settings={}, progress=False)
        assert captions(tmp_path / name / "captioned.mkv") == captions(source)
        assert not film_of(tmp_path / name, "captioned.mkv")["notes"][1:]
    dark = frames(tmp_path / "other" / "captioned.mkv")[0] / 257
    assert np.abs(dark - frames(source)[0] / 514).mean() < 4


def test_a_gap_in_the_middle_is_named(tmp_path):
    whole, source = reel(tmp_path / "w.mkv", count=40), tmp_path / "g.mkv"
    with av.open(str(whole)) as old, av.open(str(source), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size and not 10 <= packet.pts / 100 < 14:
                packet.stream = stream
                new.mux(packet)
    restore([source], tmp_path / "out")
    assert (
        "4 frames are missing in it, from 1.0 s on"
        in film_of(tmp_path / "out", "g.mkv")["notes"][0]
    )


def test_a_rate_of_1000_that_an_old_program_wrote_is_not_believed(tmp_path):
    plain, source = reel(tmp_path / "p.ts", count=20), tmp_path / "thousand.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        stream = new.add_mux_stream("h264", rate=1000, width=96, height=64)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    with av.open(str(source)) as film:
        assert film.streams.video[0].average_rate == 1000
    restore([source], tmp_path / "out")
    assert io.info(tmp_path / "out" / "thousand.mkv").rate == 10
    assert film_of(tmp_path / "out", "thousand.mkv")["rate"] == "10"
    assert extent.measure(source).frames == 20  # of the bar


# ---- the pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec, kind, ending", [
    ("ffv1", "yuv422p10le", "mkv"), ("ffv1", "gbrp12le", "mkv"), ("ffv1", "yuv420p", "avi"),
    ("libx264rgb", "rgb24", "mp4"), ("libx264", "yuv444p", "mkv"), ("qtrle", "argb", "mov"),
    ("png", "rgba", "mov"), ("rawvideo", "yuv420p", "avi"), ("utvideo", "gbrap", "avi"),
    ("v210", "yuv422p10le", "mov"), ("huffyuv", "yuv422p", "avi"),
])  # fmt: skip
def test_lossless_films_stay_lossless(tmp_path, codec, kind, ending):
    options = {"qp": "0"} if "264" in codec else {}
    source = reel(tmp_path / f"m.{ending}", codec=codec, kind=kind, options=options, count=4)
    assert io.info(source).lossless
    report = restore([source], tmp_path / "out")
    made, about = report.done[0], film_of(tmp_path / "out", report.done[0].name)
    assert about["lossless"] and about["pixel_format_changed"] == ""
    deep = io.info(source).bits > 8
    alpha = [frame.alpha(deep) for frame in io.read(source)]
    for a, b in zip(frames(source), frames(made), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(alpha, (frame.alpha(deep) for frame in io.read(made)), strict=True):
        np.testing.assert_array_equal(a, b)
    if io.info(made).format == io.info(source).format:
        assert samples(made) == samples(source)


def test_lossless_films_of_odd_sides_keep_every_sample(tmp_path):
    source = reel(tmp_path / "odd.mkv", codec="ffv1", size=(33, 17), count=3)
    assert not restore([source], tmp_path / "out").failed

    def planes(path):
        for frame in io.read(path):
            for plane in frame.plain.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                yield rows[:, : plane.width]

    for a, b in zip(planes(source), planes(tmp_path / "out" / "odd.mkv"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_lossy_is_said(tmp_path, capsys):
    source = reel(tmp_path / "m.mkv", codec="ffv1", kind="yuv444p", count=3)
    restore([source], tmp_path / "out", codec="h264", progress=True)
    about = film_of(tmp_path / "out", "m.mkv")
    assert not about["lossless"] and about["quality"] == "crf 14"
    assert "the film was lossless, h264 (crf 14) is lossy" in capsys.readouterr().err
    source = reel(tmp_path / "a.mov", codec="qtrle", kind="argb", count=3)
    restore([source], tmp_path / "out", codec="av1", progress=True)
    said = capsys.readouterr().err
    assert "alpha left out" in said and "chroma halved" in said and "is lossy" in said
    assert not film_of(tmp_path / "out", "a.mkv")["lossless"]


def test_prores_keeps_alpha_and_full_chroma(tmp_path):
    source = reel(tmp_path / "a.mov", codec="prores_ks", kind="yuva444p10le", count=4,
                  options={"profile": "4444"})  # fmt: skip
    assert not restore([source], tmp_path / "out").failed
    old, new = io.info(source), io.info(tmp_path / "out" / "a.mov")
    assert new.alpha and new.codec == "prores" and (new.format, new.tag) == (old.format, "ap4h")
    for a, b in zip(io.read(source), io.read(tmp_path / "out" / "a.mov"), strict=True):
        assert np.abs(a.alpha(True).astype(int) - b.alpha(True)).max() < 1200  # 2 %


def test_alpha_of_webm_is_kept(tmp_path):
    source = reel(tmp_path / "a.webm", codec="libvpx-vp9", kind="yuva420p", count=4)
    assert io.info(source).alpha
    assert not restore([source], tmp_path / "out").failed
    for a, b in zip(io.read(source), io.read(tmp_path / "out" / "a.webm"), strict=True):
        assert np.abs(a.alpha(False).astype(int) - b.alpha(False)).mean() < 3


def test_hdr10_stays_hevc_with_its_light(tmp_path):
    light = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    params = f"log-level=none:hdr10=1:master-display={light}:max-cll=1000,400"
    tags = dict(color_primaries=9, color_trc=16, colorspace=9, color_range=1)
    source = reel(tmp_path / "h.mp4", codec="libx265", kind="yuv420p10le", count=3, context=tags,
                  options={"x265-params": params})  # fmt: skip
    for codec, name in (("auto", "hevc"), ("h264", "h264")):
        out = tmp_path / codec
        assert not restore([source], out, codec=codec).failed
        about = io.info(out / "h.mp4")
        assert about.codec == name and about.bits == 10 and about.tags == (1, 9, 9, 16)
        assert about.light.mastering() == light and about.light.levels == (1000, 400)
    said = probe(tmp_path / "auto" / "h.mp4", "-show_frames", "-read_intervals", "%+#1")
    assert said is None or ("max_luminance=10000000/10000" in said and "max_content=1000" in said)
    restore([source], tmp_path / "webm", codec="vp9")
    assert "HDR10" in str(film_of(tmp_path / "webm", "h.mp4")["notes"])


def test_rgb_never_carries_its_matrix_into_yuv(tmp_path):
    source = reel(tmp_path / "rgb.mkv", codec="ffv1", kind="bgr0", count=2)
    restore([source], tmp_path / "out", codec="av1")
    about = io.info(tmp_path / "out" / "rgb.mkv")
    assert about.tags[1] == 1
    gaps = [np.abs(a / 257 - b / 257).mean() for a, b in
            zip(frames(source), frames(tmp_path / "out" / "rgb.mkv"), strict=True)]  # fmt: skip
    assert max(gaps) < 8


@pytest.mark.parametrize(
    "turn", [90, 180, 270, (0, True, False), (90, True, False), (90, False, True)]
)
def test_a_phone_s_rotation_is_applied_once_with_its_pixels_aspect(tmp_path, turn):
    context = {"sample_aspect_ratio": Fraction(16, 11)}
    source = reel(tmp_path / "t.mp4", turn=turn, count=2, context=context, options={"crf": "1"},
                  kind="yuv444p")  # fmt: skip
    flat = reel(tmp_path / "f.mp4", count=2, options={"crf": "1"}, kind="yuv444p")
    assert not restore([source], tmp_path / "out").failed
    made = tmp_path / "out" / "t.mp4"
    degrees, h, v = turn if isinstance(turn, tuple) else (turn, False, False)
    truth = next(iter(io.read(flat))).rgb8()
    # FFmpeg's matrix: turned counter-clockwise first, then mirrored
    truth = np.rot90(truth, degrees // 90)
    truth = truth[:, ::-1] if h else truth
    truth = truth[::-1] if v else truth
    shown = next(iter(io.read(made))).rgb8()
    assert shown.shape == truth.shape and np.abs(shown.astype(int) - truth).mean() < 4
    about = io.info(made)
    assert about.turn == io.Turn() and about.aspect == io.info(source).aspect
    assert about.aspect == (Fraction(11, 16) if degrees % 180 else Fraction(16, 11))


@pytest.mark.parametrize("codec, kind", [("libx264", "yuv420p"), ("ffv1", "yuv422p")])
def test_interlaced_films_are_deinterlaced_and_said(tmp_path, codec, kind, capsys):
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"} if codec == "libx264" else {}
    source = reel(tmp_path / "i.mkv", codec=codec, kind=kind, options=options, rate=25, count=12,
                  context={} if options else {"field_order": 2})  # fmt: skip
    assert io.info(source).interlaced
    report = restore([source], tmp_path / "out", progress=True)
    assert report.done and not report.failed
    assert "interlaced: deinterlaced with bwdif" in capsys.readouterr().err
    about = film_of(tmp_path / "out", "i.mkv")
    assert about["deinterlaced"] == "bwdif" and len(frames(tmp_path / "out" / "i.mkv")) == 12
    assert not io.info(tmp_path / "out" / "i.mkv").interlaced


def test_matroska_s_rate_is_the_film_s_and_the_bar_knows_its_length(tmp_path):
    source = reel(tmp_path / "ten.mkv", count=20)
    assert not restore([source], tmp_path / "out").failed
    for path in (source, tmp_path / "out" / "ten.mkv"):
        about, long = io.info(path), extent.measure(path)
        assert about.rate == long.rate == 10 and long.frames == 20
        assert long.end == pytest.approx(2.0)
    assert not extent.measure(source).cut() and extent.measure(source).cut(1.7)


# ---- the command --------------------------------------------------------------------------------


def command(*words):
    from wxjax import main

    try:
        main.run(["wxjax", *map(str, words)])
    except SystemExit as end:
        return end.code
    return 0


def test_the_command_knows_every_codec(tmp_path, capsys):
    assert set(restoring.CODECS) == set(encoders.CODECS)
    arguments = ("restore", "x.mp4", "--model=identity", "--codec=h246", f"--out={tmp_path / 'o'}")
    assert command(*arguments) == 2
    assert "Did you mean 'h264'" in capsys.readouterr().err


def test_films_in_a_folder_are_films(tmp_path):
    from PIL import Image

    (tmp_path / "holiday" / "sub").mkdir(parents=True)
    Image.fromarray(reels.picture(0, (32, 32))).save(tmp_path / "holiday" / "a.png")
    reel(tmp_path / "holiday" / "sub" / "clip.mp4", count=3)
    reel(tmp_path / "holiday" / "old.avi", codec="mpeg4", count=3)
    out = tmp_path / "out"
    arguments = ("restore", tmp_path / "holiday", "--model=identity", f"--out={out}")
    assert command(*arguments) == 0
    for name in ("a.png", "sub/clip.mp4", "old.mkv"):
        assert (out / name).is_file() and (out / f"{name}.json").is_file()
    films = tmp_path / "films"
    films.mkdir()
    reel(films / "only.mp4", count=3)
    assert command("restore", films, "--model=identity", f"--out={tmp_path / 'o'}") == 0
    reels.cut(films / "only.mp4", films / "zero.mp4", 0.1)
    assert command("restore", films, "--model=identity", f"--out={tmp_path / 'o'}") == 1


def test_what_a_codec_cannot_say_in_matroska_is_named(tmp_path):
    context = {"sample_aspect_ratio": Fraction(4, 3)}
    source = reel(tmp_path / "a.mkv", context=context, count=3)
    restore([source], tmp_path / "out", codec="vp9")
    assert film_of(tmp_path / "out", "a.mkv")["lost"] == ["pixel aspect 4/3"]
    restore([source], tmp_path / "same")
    assert film_of(tmp_path / "same", "a.mkv")["lost"] == []


def test_pictures_that_clash_are_refused_before_hours_of_films(tmp_path, capsys):
    from PIL import Image

    clip = reel(tmp_path / "clip.mp4", count=3)
    for folder in "AB":
        (tmp_path / folder).mkdir()
        Image.fromarray(reels.picture(0, (32, 32))).save(tmp_path / folder / "a.png")
    pictures = [tmp_path / folder / "a.png" for folder in "AB"]
    out = tmp_path / "out"
    assert command("restore", clip, *pictures, "--model=identity", f"--out={out}") == 2
    assert "would both be written to" in capsys.readouterr().err
    assert not (out / "clip.mp4").exists()
    gone = tmp_path / "gone.jpg"
    assert command("restore", clip, gone, "--model=identity", f"--out={out}") == 1
    assert "gone.jpg': no such file or folder" in capsys.readouterr().err
    assert (out / "clip.mp4").exists()


def test_plan_measures_films(tmp_path):
    from wxjax.recipes import pictures

    assert pictures.measured(str(reel(tmp_path / "a.mp4", count=2))) == (96, 64, True)
    deep = reel(tmp_path / "b.mkv", codec="ffv1", kind="yuv422p10le", count=2)
    assert pictures.measured(str(deep)) == (96, 64, False)
