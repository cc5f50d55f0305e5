"""Mutated films through `wxjax restore`: no traceback, no hang, no output without a record.

python -m experiments.robustness.films --count=300 --out=results/robustness
python -m experiments.robustness.films --only=117 --keep       one case again, its files kept

Films of every container that the project reads are generated, then broken: bits flipped in
the header, in the index or anywhere, cut, chunks swapped, doubled, zeroed or taken out, two
files glued. Each goes through the command in a process of its own, with `--model=identity`.
"""

import argparse
import collections
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tests.restore.reels import reel
from wxjax import files
from wxjax.data.video import SUFFIXES

LIMIT = 20  # seconds of the processor that a film may take
STUCK = 180.0  # seconds after which a film that takes none of them counts as hung


def sources(folder: pathlib.Path) -> list[pathlib.Path]:
    """Generated films: every container, and what is hard about each."""
    aac, ac3 = ("aac", {"language": "eng"}, 1, {}), ("ac3", {}, 0, {"rate": 48000})
    mp2 = ("mp2", {}, 0, {"rate": 48000})
    wma = ("wmav2", {}, 1, {"rate": 44100, "bit_rate": 64000})
    text = ("subrip", {"language": "ger"}, 64)
    inter = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    kinds: dict[str, dict] = {
        "plain.mp4": dict(sounds=[aac], chapters=("One", "Two"), tags={"title": "T"}),
        "covered.m4v": dict(sounds=[aac], cover="mjpeg", turn=90, format="mp4"),
        "timed.mov": dict(sounds=[("pcm_s16le", {}, 1, {})], tags={"timecode": "10:00:00:00"}),
        "prores.mov": dict(codec="prores_ks", kind="yuva444p10le", count=5),
        "rich.mkv": dict(sounds=[aac, ac3], subtitle=text, chapters=("One", "Two"),
                         attached=("font.ttf", "application/x-font", b"font" * 99)),
        "hevc.mkv": dict(codec="libx265", kind="yuv420p10le"),
        "master.mkv": dict(codec="ffv1", kind="yuv422p10le", options={"slicecrc": "1"}),
        "inter.mkv": dict(options=inter, rate=25),
        "alpha.webm": dict(codec="libvpx-vp9", kind="yuva420p", sounds=[
            ("libopus", {}, 1, {"rate": 48000})]),
        "old.avi": dict(codec="mpeg4", sounds=[("libmp3lame", {}, 1, {"rate": 44100})]),
        "raw.avi": dict(codec="rawvideo", count=4, size=(32, 32)),
        "tv.ts": dict(codec="mpeg2video", sounds=[mp2], rate=25, start=90),
        "cam.mts": dict(sounds=[ac3], options={"g": "5", "bf": "2"}),
        "tv.mpg": dict(codec="mpeg2video", sounds=[mp2], rate=25),
        "old.wmv": dict(codec="wmv2", sounds=[wma]),
        "old.flv": dict(codec="flv", sounds=[("libmp3lame", {}, 1, {"rate": 44100})]),
        "phone.3gp": dict(codec="mpeg4", sounds=[("libopencore_amrnb", {}, 1, {"rate": 8000})]),
    }  # fmt: skip
    return [reel(folder / name, **{"count": 12, **kind}) for name, kind in kinds.items()]


# ---- ways to break a file ----------------------------------------------------------------------


def flip(data: bytearray, rng: np.random.Generator, first: float, last: float, most: int):
    """Up to `most` bits between two shares of the file."""
    places = rng.integers(
        int(first * len(data)), max(1, int(last * len(data))), rng.integers(1, most)
    )
    for place in places:
        data[place] ^= 1 << int(rng.integers(8))
    return data


def chunk(data: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    size = int(rng.integers(1, max(2, len(data) // 4)))
    begin = int(rng.integers(0, max(1, len(data) - size)))
    return begin, begin + size


def swap(data: bytearray, rng: np.random.Generator):
    """Two stretches of one length change places."""
    size = int(rng.integers(16, max(17, len(data) // 6)))
    a, b = sorted(rng.integers(0, max(1, len(data) - 2 * size), 2).tolist())
    b = max(b, a + size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return data


def gone(data: bytearray, rng: np.random.Generator):
    a, b = chunk(data, rng)
    del data[a:b]
    return data


def doubled(data: bytearray, rng: np.random.Generator):
    a, b = chunk(data, rng)
    data[b:b] = data[a:b]
    return data


def filled(data: bytearray, rng: np.random.Generator):
    """A stretch of zeros, ones or noise, as a bad sector leaves it."""
    a, b = chunk(data, rng)
    data[a:b] = [bytes(b - a), b"\xff" * (b - a), rng.bytes(b - a)][int(rng.integers(3))]
    return data


def huge(data: bytearray, rng: np.random.Generator):
    """A field of four bytes near the beginning or the end says a huge number."""
    near = int(rng.integers(0, min(2000, len(data) - 4)))
    place = near if rng.integers(2) else len(data) - 4 - near
    data[place : place + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"][
        int(rng.integers(3))
    ]
    return data


WAYS: dict[str, Callable] = {
    "bits": lambda data, rng: flip(data, rng, 0, 1, 40),
    "bits in the header": lambda data, rng: flip(data, rng, 0, 0.05, 12),
    "bits at the end": lambda data, rng: flip(data, rng, 0.9, 1, 12),
    "cut": lambda data, rng: data[: int(rng.integers(0, len(data)))],
    "beginning lost": lambda data, rng: data[int(rng.integers(1, len(data) // 2)) :],
    "chunks swapped": swap,
    "chunk gone": gone,
    "chunk doubled": doubled,
    "chunk filled": filled,
    "huge number": huge,
}


# ---- one case -----------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What one film did: exit code (None: killed after the limit), seconds, stderr, faults."""

    code: int | None
    seconds: float
    said: str
    faults: list[str]


def restore(path: pathlib.Path, out: pathlib.Path) -> Seen:
    """The command in a child of its own, stopped where it takes too long.

    A busy machine makes anything slow: the processor's seconds count.
    """
    log = out.with_suffix(".log")
    begin, child = time.monotonic(), os.fork()
    if child == 0:
        _child(path, out, log)
    code, waited = None, 0
    while not waited and time.monotonic() - begin < STUCK:
        waited, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if waited else None
        time.sleep(0.01)
    if not waited:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = log.read_text(errors="replace") if log.exists() else ""
    return Seen(code, time.monotonic() - begin, said, judge(path, out, code, said))


def _child(path: pathlib.Path, out: pathlib.Path, log: pathlib.Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 1))
    handle = os.open(log, os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    code = 70
    try:
        from wxjax import main

        main.run(["wxjax", "restore", str(path), "--model=identity", f"--out={out}"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def judge(path: pathlib.Path, out: pathlib.Path, code: int | None, said: str) -> list[str]:
    """What must not be, as words."""
    faults = []
    if code is None or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return [f"hangs: over {LIMIT} s of the processor, or {STUCK:.0f} s in all"]
    if code not in (0, 1, 2):
        faults.append(f"exit code {code}")
    if "Traceback" in said:
        faults.append("traceback")
    if "Error: " in said or "Exception" in said:
        faults.append("an error of the program is shown to the user")
    if code and "failed: " not in said and "wxjax: " not in said:
        faults.append("fails without a reason")
    made = [p for p in out.rglob("*") if p.suffix in SUFFIXES] if out.is_dir() else []
    for film in made:
        record = film.with_name(f"{film.name}.json")
        if not record.is_file():
            faults.append("output without a record")
        elif files.read_json(record)["film"]["complete"] != (code == 0):
            faults.append("record and exit code disagree")
    if code == 0 and not made:
        faults.append("says success, made nothing")
    left = [p.name for p in out.rglob(".*")] if out.is_dir() else []
    return faults + [f"left behind: {name}" for name in left]


def run(count: int, out: pathlib.Path, seed: int, only: int | None, keep: bool) -> list[dict]:
    """All cases, or one; a row each."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        made = sources(folder)
        import wxjax.commands
        import wxjax.restore.video  # noqa: F401  before the children, so that they need not

        for number in range(count) if only is None else [only]:
            rng = np.random.default_rng([seed, number])
            source = made[number % len(made)]
            way = list(WAYS)[int(rng.integers(len(WAYS)))]
            broken = folder / f"case{source.suffix}"
            broken.write_bytes(bytes(WAYS[way](bytearray(source.read_bytes()), rng)))
            seen = restore(broken, folder / "out")
            said = seen.said.strip().splitlines()
            rows.append({
                "case": number, "film": source.name, "way": way, "code": seen.code,
                "seconds": round(seen.seconds, 2), "faults": seen.faults,
                "said": [line for line in said if line.startswith(("failed", "note", "wxjax"))],
            })  # fmt: skip
            if seen.faults:
                print(f"case {number} ({source.name}, {way}): {'; '.join(seen.faults)}", flush=True)
                print("\n".join(f"    {line}" for line in said[-8:]), flush=True)
            if keep:
                (out / str(number)).mkdir(parents=True, exist_ok=True)
                shutil.copy(broken, out / str(number))
            shutil.rmtree(folder / "out", ignore_errors=True)
            (folder / "out.log").unlink(missing_ok=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/robustness"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    rows = run(arguments.count, arguments.out, arguments.seed, arguments.only, arguments.keep)
    files.write_jsonl(arguments.out / "films.jsonl", rows)
    codes = collections.Counter(str(row["code"]) for row in rows)
    bad = [row for row in rows if row["faults"]]
    longest = max(row["seconds"] for row in rows)
    print(f"{len(rows)} films: {len(bad)} with a fault; exit codes {dict(sorted(codes.items()))}; "
          f"longest {longest:.1f} s")  # fmt: skip
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
