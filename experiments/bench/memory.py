"""Peak memory and time of the full-size network on one picture, beside what was planned.

python -m experiments.bench.memory --size=3840x2160
python -m experiments.bench.memory --size=20000x20000 --regions=40 --memory=20GiB

Random weights and pixels; costs do not depend on them. With --regions, both passes stop
after so many and the bottleneck sees 2048 real tokens: all buffers of the whole picture
are there and written to, so the peak is that of a whole run; the time is the plan's.
"""

import argparse
import importlib
import json
import os
import resource
import time

import numpy as np

from wxjax import files
from wxjax.evaluate import cost
from wxjax.recipes import benchmark, pictures


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--config", default="dehazexl:paper")
    parser.add_argument("--batch", type=int, default=0, help="0: as the config says")
    parser.add_argument("--memory", default=None)
    parser.add_argument("--regions", type=int, default=0)
    parser.add_argument("--out", default=None)
    return parser.parse_args()


def peak() -> int:
    """MiB of this process at its worst so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    """Prints one JSON object."""
    asked = options()
    width, height = benchmark.parse_size(asked.size)
    name, _, size = asked.config.partition(":")
    config = importlib.import_module(f"configs.{name}").get_config(size or "default")
    config.model.dtype, config.model.remat = "float32", False
    config.tiles.batch_size = asked.batch or config.tiles.batch_size
    pictures.allow(config, asked.memory, None)
    run = pictures.program(*pictures.blank(config), config.tiles)
    made = run.plan(height, width, np.uint8)
    print("\n".join(made.lines(asked.size)), flush=True)
    found = {
        "size": asked.size,
        "planned_mib": made.memory.total >> 20,
        "planned_seconds": sum(made.seconds.values()),
        "work": {key: x >> 20 for key, x in made.memory._asdict().items()},
        "way": made.way._asdict(),
        "matmul_gflops": cost.matmul_gflops(),
        "load": os.getloadavg()[0],
    }
    pattern = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    image = np.tile(pattern, (-(-height // 256), -(-width // 256), 1))[:height, :width].copy()
    before = time.process_time()
    if asked.regions:
        found["look_finish_seconds"] = partly(run.streamer, image, asked.regions)
    else:
        found["seconds"] = run(image)[1]["latency_ms"] / 1e3
    found |= {"cpu_seconds": time.process_time() - before, "peak_mib": peak()}
    print(json.dumps(found))
    if asked.out:
        files.write_json(asked.out, found)


def partly(streamer, image: np.ndarray, regions: int) -> list[float]:
    """Both passes over the first regions, between them the bottleneck with all its buffers."""
    cover = streamer.cover(*image.shape[:2])
    route = np.int32(0)
    columns = min(regions, cover.shape[1])
    rows = max(1, regions // columns)
    reach = lambda n: (n - 1) * (cover.tile - cover.overlap) + cover.tile
    part = cover._replace(height=reach(rows), width=reach(columns))
    strip = image[: part.height, : part.width]
    start = time.perf_counter()
    looked = streamer.look(strip, part, route)
    spent = [(time.perf_counter() - start) / part.count]
    _, room = streamer.tokens(cover)
    tokens = np.ones((room, streamer.parts.features), np.float32)
    moments = [np.resize(x, (cover.count, *x.shape[1:])) for x in looked["moments"]]
    seen = streamer.seen(cover, tokens, moments)
    seen["valid"] = (np.arange(room) < 2048).astype(np.float32)
    mixed = streamer.compile_mix(cover)(streamer.variables, {**seen, "route": route}, np.int32(-1))
    tokens = np.array(mixed["tokens"])
    del mixed, seen
    start = time.perf_counter()
    out = np.ones(image.shape, np.uint8)
    out[: part.height, : part.width] = streamer.finish(strip, part, route, tokens, looked["maps"])
    return [*spent, (time.perf_counter() - start) / part.count]


if __name__ == "__main__":
    main()
