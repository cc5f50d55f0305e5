"""Ranking a large gallery: seconds and memory, by queries a chunk.

python -m experiments.bench.gallery --entries=20000 --queries=2000

Random unit features of 500 identities and 8 cameras; every row is a fresh process, and memory is
what its peak rose by while ranking, compilation included. Nothing depends on what the features
say but the mAP, which is checked against chance.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np

from wxjax import files
from wxjax.evaluate import cost
from wxjax.systems.reid import ranking
from wxjax.systems.reid.ranking import Side

IDENTITIES, CAMERAS = 500, 8


def side(rng: np.random.Generator, count: int, width: int) -> Side:
    feature = rng.standard_normal((count, width), np.float32)
    feature /= np.linalg.norm(feature, axis=1, keepdims=True)
    return Side(feature, rng.integers(0, IDENTITIES, count), rng.integers(0, CAMERAS, count))


def measure(entries: int, queries: int, width: int, chunk: int) -> dict:
    rng = np.random.default_rng(0)
    query, gallery = side(rng, queries, width), side(rng, entries, width)
    before, start = cost.peak_bytes(), time.perf_counter()
    found = ranking.rank(query, gallery, chunk=chunk)
    first = time.perf_counter() - start
    start = time.perf_counter()
    ranking.rank(query, gallery, chunk=chunk)
    return {
        "chunk": chunk,
        "seconds": time.perf_counter() - start,
        "first_seconds": first,
        "mib": (cost.peak_bytes() - before) >> 20,
        "map": float(found.ap[found.valid].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--chunks", type=int, nargs="+", default=[64, 256, 2_000])
    parser.add_argument("--out", type=pathlib.Path, default=None)
    asked = parser.parse_args()
    sizes = (asked.entries, asked.queries, asked.width)
    if len(asked.chunks) == 1 and asked.out is None:
        print(json.dumps(measure(*sizes, asked.chunks[0])))
        return
    rows = []
    for chunk in asked.chunks:
        words = [f"--entries={sizes[0]}", f"--queries={sizes[1]}", f"--width={sizes[2]}"]
        call = [sys.executable, "-m", "experiments.bench.gallery", *words, "--chunks", str(chunk)]
        done = subprocess.run(call, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    names = ("entries", "queries", "width")
    made = {**dict(zip(names, sizes, strict=True)), "device": cost.device_name(), "rows": rows}
    if asked.out:
        files.write_json(asked.out, made)


if __name__ == "__main__":
    main()
