"""What the weather model costs: seconds, CPU-seconds, memory, beside the machine's product rate.

python -m experiments.bench.weather [MODEL] [--sizes=1152x864,4000x3000] [--repeats=3]

Each size runs in a process of its own. Times are of a compiled program on a random picture,
the router's choice forced to `derain` (every expert costs the same), the median of the
repeats; the matrix-product rate is timed between them (2048 x 2048, float32). `seam` is the
largest difference, in grey levels, to a single tile as large as the picture (only up to 7 MP).
"""

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

SIZES = "512x512,1152x864,3840x2160,4000x3000"


def one(model: str, size: str, repeats: int) -> dict:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from ml_collections import ConfigDict

    from wxjax.evaluate.stream import Streamer
    from wxjax.systems.moei import training

    width, height = map(int, size.split("x"))
    task, variables, tiles = training.load(pathlib.Path(model))
    run = Streamer(task, variables, tiles)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3), np.uint8)
    image = np.ascontiguousarray(small.repeat(4, 0).repeat(4, 1)[:height, :width])
    square = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(square))
    run(image, 2)
    walls, cpus, rates = [], [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        restored, _ = run(image, 2)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - busy)
        busy = time.process_time()
        jax.block_until_ready(product(square))
        rates.append(2 * 2048**3 / (time.process_time() - busy) / 1e9)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    megapixels = width * height / 1e6
    start = time.perf_counter()
    busy = time.process_time()
    run(image, 4)  # left as it is: encoder and router alone
    looked = time.process_time() - busy
    found = {
        "size": size,
        "seconds": round(statistics.median(walls), 3),
        "cpu_s_per_mp": round(statistics.median(cpus) / megapixels, 3),
        "left_cpu_s_per_mp": round(looked / megapixels, 3),
        "peak_gib": round(peak, 2),
        "product_gflop_per_cpu_s": round(statistics.median(rates), 1),
    }
    if megapixels < 7:
        whole = ConfigDict(tiles.to_dict())
        whole.tile = 4096
        single, _ = Streamer(task, variables, whole)(image, 2)
        found["seam"] = int(np.abs(single.astype(int) - restored).max())
    return found


def main(model: str, sizes: str, repeats: int) -> None:
    for size in sizes.split(","):
        command = [sys.executable, "-m", "experiments.bench.weather", model, "--one", size]
        made = subprocess.run([*command, str(repeats)], capture_output=True, text=True, check=True)
        print(made.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
    if "--one" in sys.argv:
        print(json.dumps(one(words[0], words[1], int(words[2]))))
    else:
        model = words[0] if words else "wxjax/models/weather"
        main(model, flags.get("sizes", SIZES), int(flags.get("repeats", 3)))
