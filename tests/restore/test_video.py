"""Films through `restore`: times, depth, tags and sound kept; killed jobs go on."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from wxjax import errors, files
from wxjax.data import video as io
from wxjax.restore import film as film_job
from wxjax.restore import photo, video

RNG = np.random.default_rng(0)


def film(path, *, size=(48, 32), times=range(0, 20), kind="yuv420p", sound=True, tags=None):
    """A film of a moving gradient with a tone, its frames at `times` twenty-fourths of a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, kind
        stream.codec_context.time_base = Fraction(1, 24)
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        tone = None
        if sound:
            tone = out.add_stream("aac", rate=16000, layout="mono")
        x = np.arange(size[0])[None, :, None] + np.zeros((size[1], 1, 3))
        for number, time in enumerate(times):
            pixels = np.uint8((4 * x + 9 * number) % 200 + 20)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=kind)
            frame.pts, frame.time_base = time, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(16000) / 8).astype(np.float32)[None] / 4
            for start in range(0, 16000 - 1024, 1024):
                part = wave[:, start : start + 1024].copy()
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16000, start
                out.mux(tone.encode(frame))
            out.mux(tone.encode(None))
    return path


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [
            (float(p.pts * p.time_base), bytes(p))
            for p in container.demux(stream)
            if p.pts is not None
        ]


def identity(**options):
    options = {"settings": {"model": "identity"}, "progress": False, "segment": 6, **options}
    return lambda inputs, out: video.restore(
        inputs, out, video.EachFrame(photo.identity), **options
    )


class Counting:
    """A stream whose frame n is darker by what the frames before add up to; may be killed."""

    def __init__(self, killed_at=None):
        self.killed_at, self.steps = killed_at, 0

    def start(self, height, width):
        return {"sum": np.float32(0), "number": np.int32(0)}

    def step(self, state, frame):
        self.steps += 1
        if self.steps == self.killed_at:
            raise KeyboardInterrupt
        total = np.float32(0.9) * state["sum"] + frame.mean(dtype=np.float32)
        out = np.clip(frame.astype(np.float32) - total / 50, 0, 255) / 255
        said = {"cut": np.bool_(state["number"] == 3), "usage": np.full((2, 4), 0.25)}
        said |= {"count": np.full(2, 2.0)}
        return {"sum": total, "number": state["number"] + 1}, out, said


def test_a_film_keeps_times_size_and_sound(tmp_path):
    source = film(tmp_path / "clip.mp4", times=[0, 1, 2, 5, 6, 9, 10, 11, 15, 16])  # variable rate
    report = identity()([source], tmp_path / "out")
    made = tmp_path / "out" / "clip.mp4"
    assert report.done == [made] and not report.failed
    frames, truth = list(io.read(made)), list(io.read(source))
    base, was = io.info(made).time_base, io.info(source).time_base
    assert [f.pts * base for f in frames] == [f.pts * was for f in truth]
    gaps = [
        np.abs(a.rgb8().astype(int) - b.rgb8()).mean() for a, b in zip(frames, truth, strict=True)
    ]
    assert max(gaps) < 2.5 and packets(made, "audio") == packets(source, "audio")
    record = files.read_json(tmp_path / "out" / "clip.mp4.json")
    assert record["output"]["frames"] == 10 and record["film"]["sounds"] == 1
    assert not list((tmp_path / "out").glob(".*"))


def test_ten_bits_odd_sides_and_colour_tags_are_kept(tmp_path):
    tags = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
    deep = film(tmp_path / "deep.mkv", kind="yuv420p10le", tags=tags, sound=False)
    odd = film(tmp_path / "odd.mp4", size=(47, 31), kind="yuv444p")
    assert not identity()([deep, odd], tmp_path / "out").failed
    about = io.info(tmp_path / "out" / "deep.mkv")
    assert about.bits == 10 and about.tags == io.info(deep).tags == (1, 1, 1, 1)
    about = io.info(tmp_path / "out" / "odd.mp4")
    assert (about.width, about.height) == (47, 31)


def test_a_job_killed_and_run_again_gives_the_same_file(tmp_path):
    source = film(tmp_path / "clip.mp4")
    options = dict(settings={"a": 1}, progress=False, segment=6)
    video.restore([source], tmp_path / "whole", Counting(), **options)
    for killed_at in (2, 6, 14):  # in the first, at the end of it, in the third
        again = tmp_path / f"again{killed_at}"
        with pytest.raises(KeyboardInterrupt):
            video.restore([source], again, Counting(killed_at), **options)
        rest = Counting()
        video.restore([source], again, rest, **options)
        assert rest.steps == 20 - (killed_at - 1) // 6 * 6
        for name in ("clip.mp4", "clip.mp4.frames.jsonl"):
            assert (again / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    done = Counting()
    report = video.restore([source], again, done, **options)
    assert report.skipped and not done.steps


def test_other_settings_or_another_film_begin_anew(tmp_path):
    source = film(tmp_path / "clip.mp4")
    options = dict(segment=6, progress=False)
    with pytest.raises(KeyboardInterrupt):
        video.restore([source], tmp_path / "out", Counting(14), settings={"a": 1}, **options)
    rest = Counting()
    video.restore([source], tmp_path / "out", rest, settings={"a": 2}, **options)
    assert rest.steps == 20


def test_notes_say_what_the_router_did_and_where_cuts_are(tmp_path):
    from wxjax.report import film as plots

    source = film(tmp_path / "clip.mp4")
    options = dict(settings={}, progress=False, segment=6, plot=plots.draw)
    video.restore([source], tmp_path / "out", Counting(), **options)
    text = (tmp_path / "out" / "clip.mp4.frames.jsonl").read_text().splitlines()
    notes = [json.loads(line) for line in text]
    assert [note["frame"] for note in notes] == list(range(20))
    assert notes[2]["time"] == pytest.approx(2 / 24, abs=1e-4) and np.shape(notes[0]["usage"]) == (
        2,
        4,
    )
    assert files.read_json(tmp_path / "out" / "clip.mp4.json")["film"]["cuts"] == [3]
    assert (tmp_path / "out" / "clip.mp4.png").read_bytes()[:4] == b"\x89PNG"


def test_a_folder_of_frames_is_a_film(tmp_path):
    (tmp_path / "frames").mkdir()
    for i in range(14):
        pixels = RNG.integers(0, 256, (16, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{i}.png")
    options = dict(settings={}, progress=False, segment=6)
    source = tmp_path / "frames"
    video.restore([source], tmp_path / "whole", Counting(), **options)
    with pytest.raises(KeyboardInterrupt):
        video.restore([source], tmp_path / "again", Counting(9), **options)
    video.restore([source], tmp_path / "again", Counting(), **options)
    for i in range(14):
        name = f"frames/{i}.png"
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(list((tmp_path / "whole" / "frames").glob("*.png"))) == 14


def test_what_is_no_film_is_one_line_and_the_rest_goes_on(tmp_path):
    (tmp_path / "words.mp4").write_text("words")
    good = film(tmp_path / "clip.mp4", sound=False)
    report = identity()([tmp_path / "words.mp4", tmp_path / "gone.mp4", good], tmp_path / "out")
    assert len(report.done) == 1 and len(report.failed) == 2
    assert "words.mp4' as a video" in report.failed[0].reason
    assert "no such file" in report.failed[1].reason
    assert all("\n" not in failure.reason for failure in report.failed)


def test_a_file_of_someone_else_is_not_overwritten(tmp_path):
    source = film(tmp_path / "clip.mp4", sound=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.mp4").write_text("mine")
    report = identity()([source], tmp_path / "out")
    assert "in the way" in report.failed[0].reason
    assert identity()([source], tmp_path).failed[0].reason.startswith("out=")
    assert identity(overwrite=True)([source], tmp_path / "out").done


def test_a_frame_that_is_not_finite_is_refused():
    with pytest.raises(errors.InputError, match="not finite"):
        film_job.as_stored(np.full((2, 2, 3), np.nan, np.float32), np.dtype(np.uint8))
    deep = film_job.as_stored(np.full((2, 2, 3), 0.5, np.float32), np.dtype(np.uint16))
    assert deep.dtype == np.uint16 and deep[0, 0, 0] == 32768
