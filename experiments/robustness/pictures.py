"""Mutated pictures of every kind through `restore`: nothing may hang, crash or go unrecorded.

    python -m experiments.robustness.pictures --count=2000

Every file of the test samples (all kinds that are read) is mutated: bits flipped, bytes cut,
blocks swapped, doubled, zeroed, lengths set to their most. Each goes through the job that
`wxjax restore` runs, with a restorer that inverts and one that enlarges by 4. A file is
fine when it is restored with a record beside it, and read again, or refused in one line.
"""

import argparse
import collections
import json
import multiprocessing
import pathlib
import tempfile
import time
import warnings
import zlib
from typing import Any

import numpy as np

LIMIT = 20.0  # seconds a file
MOST_PIXELS = 4_000_000


def mutate(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """(what was done, the damaged bytes)."""
    size = len(data)
    place = lambda: int(rng.integers(0, size))
    block = lambda: slice(start := place(), start + int(rng.integers(1, max(2, size // 8))))
    how = str(
        rng.choice(["flip", "flips", "cut", "swap", "double", "zero", "most", "insert", "head"])
    )
    out = bytearray(data)
    if how in ("flip", "flips"):
        for _ in range(1 if how == "flip" else int(rng.integers(2, 64))):
            out[place()] ^= 1 << int(rng.integers(0, 8))
    elif how == "cut":
        del out[place() :]
    elif how == "swap":
        a, b = sorted((place(), place()))
        middle = (a + b) // 2
        out[a:b] = out[middle:b] + out[a:middle]
    elif how == "double":
        part = block()
        out[part.start : part.start] = out[part]
    elif how == "zero":
        part = block()
        out[part] = bytes(len(out[part]))
    elif how == "most":
        at = place()
        out[at : at + 4] = b"\xff" * len(out[at : at + 4])
    elif how == "insert":
        at = place()
        out[at:at] = rng.integers(0, 256, int(rng.integers(1, 64)), np.uint8).tobytes()
    else:
        for _ in range(4):
            out[int(rng.integers(0, min(size, 64)))] = int(rng.integers(0, 256))
    return how, bytes(out)


def repaired(data: bytes) -> bytes:
    """A PNG with right checksums again, so that what stands behind them is reached."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        size = int.from_bytes(out[at : at + 4], "big")
        end = at + 8 + size
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def sources() -> dict[str, bytes]:
    """A file of every kind, by name."""
    from tests.data import more_samples, samples

    return {name: data for name, (data, *_) in (samples.ALL | more_samples.ALL).items()}


def enlarge(rgb: np.ndarray) -> tuple[np.ndarray, dict]:
    return (1 - rgb).repeat(4, 0).repeat(4, 1), {"route": "enlarge"}


enlarge.scale = 4


def invert(rgb: np.ndarray) -> tuple[np.ndarray, dict]:
    return 1 - rgb, {"route": "invert"}


def work(pipe: Any) -> None:
    """Restores the files that come through a pipe; answers with what is wrong, or ''."""
    warnings.simplefilter("ignore")
    while (task := pipe.recv()) is not None:
        path, out, scaled, format = task
        try:
            pipe.send(one(pathlib.Path(path), pathlib.Path(out), scaled, format))
        except BaseException as error:  # what a user would see as a traceback
            pipe.send(("traceback", f"{type(error).__name__}: {error}"))


def one(path: pathlib.Path, out: pathlib.Path, scaled: bool, format: str) -> tuple[str, str]:
    """('restored', 'refused' or a fault, and its words)."""
    from wxjax.data import images
    from wxjax.restore import photo, records

    restorer = enlarge if scaled else invert
    options = dict(settings={}, progress=False, max_pixels=MOST_PIXELS, format=format)
    report = photo.restore([path], out, restorer, **options)
    for failure in report.failed:
        expected = ("cannot read ", "cannot encode ", "memory")
        words = failure.reason.split("': ", 1)[-1]
        if "\n" in failure.reason:
            return "many lines", failure.reason
        if not failure.reason.startswith(expected) and "Error: " in words[:40]:
            return "internal", failure.reason
    made = [p for p in out.rglob("*") if p.is_file() and p.suffix != ".json"]
    made = [p for p in made if not p.name.startswith(".wxjax")]
    for file in made:
        if not records.read(file):
            return "no record", str(file)
        images.read(file)
    if len(made) != len(report.done):
        return "no record", f"{len(made)} files, {len(report.done)} said"
    return ("restored" if report.done else "refused"), ""


class Worker:
    """A process that may hang or crash without harm to the run."""

    def __init__(self):
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def run(self, *task: Any) -> tuple[str, str]:
        self._pipe.send(task)
        try:
            if self._pipe.poll(LIMIT):
                return self._pipe.recv()
            fault = ("hang", f"over {LIMIT:g} s")
        except EOFError:
            self._process.join()
            fault = ("crash", f"exit code {self._process.exitcode}")
        self._process.kill()
        self._process.join()
        self._start()
        return fault

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()


def run(count: int, seed: int, keep: pathlib.Path) -> dict:
    """Counts by outcome, by kind of file and by mutation; faulty files stay in `keep`."""
    found, names = sources(), sorted(sources())
    totals: collections.Counter[str] = collections.Counter()
    by_kind: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    faults, worker, longest = [], Worker(), 0.0
    worker.run("", "", False, "")  # imports are not the first file's time
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            name = names[number % len(names)]
            how, data = mutate(found[name], rng)
            if name.endswith(".png") and rng.random() < 0.7:
                how, data = how + ", checksums mended", repaired(data)
            path = pathlib.Path(folder, f"{number:05d}-{name}")
            path.write_bytes(data)
            scaled, format = bool(rng.random() < 0.3), str(rng.choice(["", "", "", "png", "jxl"]))
            start = time.perf_counter()
            outcome, words = worker.run(str(path), f"{folder}/out{number}", scaled, format)
            longest = max(longest, time.perf_counter() - start)
            totals[outcome] += 1
            by_kind[name.rsplit(".", 1)[1]][outcome] += 1
            if outcome not in ("restored", "refused"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / path.name).write_bytes(data)
                faults.append({"file": path.name, "how": how, "what": outcome, "words": words})
                print(f"{path.name} ({how}): {outcome}: {words}", flush=True)
    worker.close()
    return {
        "count": count,
        "seed": seed,
        "outcomes": dict(totals),
        "by_ending": {kind: dict(counts) for kind, counts in sorted(by_kind.items())},
        "longest_s": round(longest, 2),
        "faults": faults,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path("runs/fuzz-pictures"))
    parser.add_argument("--out", type=pathlib.Path, default=None, help="a JSON file")
    given = parser.parse_args()
    made = run(given.count, given.seed, given.keep)
    print(json.dumps({k: v for k, v in made.items() if k != "faults"}, indent=1))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(made, indent=1) + "\n")
    raise SystemExit(1 if made["faults"] else 0)


if __name__ == "__main__":
    main()
