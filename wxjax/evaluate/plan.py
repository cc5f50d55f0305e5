"""What an image will cost in memory and time, said before anything is allocated.

Memory is a sum of what is known: this process with its weights and programs, the pixels,
the tokens, the maps that are kept, and the work space of the compiled programs as XLA
states it. Time is measured: one batch of tiles and a part of the bottleneck run on blank
pixels, and are multiplied.
"""

import math
import re
import resource
import statistics
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from wxjax import errors
from wxjax.evaluate import cost
from wxjax.evaluate.stream import Streamer, Way
from wxjax.ops.canvas import Cover
from wxjax.task import Task

UNITS = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}
SPARE = 0.85  # share of the memory that is free which an image may take without being asked
PROBE = 8192  # tokens up to which the bottleneck is measured and beyond which it is computed


class Memory(NamedTuple):
    """Bytes at the worst moment: `total` is the process's peak, the rest what makes it."""

    here: int  # the process before the image: libraries, weights, programs
    peak: int  # what it has held at its worst until then
    pixels: int  # in and out
    tokens: int
    maps: int  # the encoder's, kept between the passes
    work: int  # of the hungriest program

    @property
    def total(self) -> int:
        return max(self.peak, self.here + self.pixels + self.tokens + self.maps + self.work)


class Plan(NamedTuple):
    """How an image will be streamed, and what it will take."""

    size: tuple[int, int]  # height, width
    way: Way
    tiles: int
    tokens: int
    memory: Memory
    seconds: dict[str, float]  # look, mix, finish; empty where nothing was measured

    def lines(self, name: str) -> list[str]:
        """For people."""
        height, width = self.size
        gib = lambda count: f"{count / 2**30:.2f}"
        m = self.memory
        out = [
            f"{name}: {width}x{height}, {self.tiles} tiles, {self.tokens} tokens",
            f"  memory {gib(m.total)} GiB: here {gib(m.here)}, pixels {gib(m.pixels)}, tokens "
            f"{gib(m.tokens)}, maps {gib(m.maps)}, work {gib(m.work)}",
        ]
        if self.seconds:
            total = sum(self.seconds.values())
            parts = ", ".join(f"{part} {spent:.3g}" for part, spent in self.seconds.items())
            rate = total / (height * width / 1e6)
            out.append(f"  time {total:.3g} s ({parts}), {rate:.3g} s/MP, compilation not counted")
        kept = "maps kept" if self.way.keep else "maps computed again"
        out.append(f"  way {self.way.batch} tiles at a time, {kept}")
        return out


def parse_bytes(text: str) -> int:
    """`8GiB`, `500 MB`, `2e9` as bytes; InputError for anything else."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e\+?[0-9]+)?)\s*([kmgt]?i?b)?\s*", str(text), re.I)
    try:
        count = float(match[1]) * UNITS[(match[2] or "B").upper()]
    except (TypeError, ValueError) as error:
        expected = "expected a number and KiB, MiB, GiB or TiB"
        raise errors.bad("--memory", text, expected, "For example 8GiB.") from error
    if not 0 < count < math.inf:
        raise errors.bad("--memory", text, "expected more than nothing")
    return int(count)


def resident() -> int:
    """Bytes that this process holds now (its peak, where the system does not say)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return cost.peak_bytes()


def available() -> int:
    """Bytes that an image may take: of the accelerator where it says, else of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(SPARE * stats["bytes_limit"])
    try:
        with open("/proc/meminfo") as file:
            free = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
        return int(SPARE * free * 1024) + resident()
    except (OSError, StopIteration):
        return 8 * 2**30


def work(compiled: Any, variables: Any) -> int:
    """Bytes a compiled program needs besides the weights, by XLA's own account."""
    found = compiled.memory_analysis()
    weights = sum(x.nbytes for x in jax.tree.leaves(variables))
    given = max(0, found.argument_size_in_bytes - weights)
    return found.temp_size_in_bytes + found.output_size_in_bytes + given


def memory(streamer: Streamer, cover: Cover, dtype: Any) -> Memory:
    """The law: what streaming an image of this cover takes at the streamer's way."""
    programs = streamer.compile(cover, dtype)
    needs = {part: work(program, streamer.variables) for part, program in programs.items()}
    pixels = 2 * cover.height * cover.width * 3 * np.dtype(dtype).itemsize
    band = 3 * cover.tile * cover.extent[1] * 3 * 4  # the canvas's sums, blended and rounded
    _, room = streamer.tokens(cover)
    tokens = room * streamer.parts.features * 4
    maps = 0
    if streamer.way.keep:
        kept = streamer.looked(cover, cover.count)["maps"]
        maps = sum(x.size * x.dtype.itemsize for x in kept)
    cost.give_back_memory()
    return Memory(resident(), cost.peak_bytes(), pixels + band, tokens, maps, max(needs.values()))


def choose(streamer: Streamer, cover: Cover, dtype: Any, budget: int) -> Memory:
    """Sets the streamer's way to the fastest within `budget` bytes; says what it takes.

    Keeping the maps saves a second encoder pass, so it is given up last.

    Raises:
      InputError: where even one tile at a time is too much.
    """
    most = max(1, min(streamer.settings.batch_size, cover.count))
    halves = [max(1, most >> i) for i in range(most.bit_length())]
    for keep in (True, False):
        for batch in halves:
            streamer.way = Way(batch, keep)
            need = memory(streamer, cover, dtype)
            if need.total <= budget:
                return need
            if need.total - need.work > budget:
                break  # no batch is small enough
    gib = need.total / 2**30
    raise errors.InputError(
        f"memory={budget / 2**30:.2f}GiB: {cover.width}x{cover.height} takes {gib:.2f} GiB with "
        "one tile at a time. Allow more with --memory, or take a smaller --config.tiles.tile."
    )


def predict(streamer: Streamer, height: int, width: int, dtype: Any, budget: int) -> Plan:
    """Chooses a way within `budget`, and measures what is needed to say how long it takes."""
    cover = streamer.cover(height, width)
    need = choose(streamer, cover, dtype, budget)
    count, _ = streamer.tokens(cover)
    seconds = measure(streamer, cover, dtype, count)
    return Plan((height, width), streamer.way, cover.count, count, need, seconds)


def measure(streamer: Streamer, cover: Cover, dtype: Any, count: int) -> dict[str, float]:
    """Seconds of each part, from one batch of tiles and from some of the tokens."""
    size = streamer.size(cover)
    tall, wide = cover.sides
    along = wide + (size - 1) * (wide - cover.overlap)
    row = Cover(tall, along, tall, cover.overlap, wide)
    blank = np.zeros((row.height, row.width, 3), dtype)
    _, room = streamer.tokens(row)
    mixed = np.zeros((room, streamer.parts.features), np.float32)
    looked = []
    look = timed(lambda: looked.append(streamer.look(blank, row, np.int32(0))))
    finish = timed(lambda: streamer.finish(blank, row, np.int32(0), mixed, looked.pop()["maps"]))
    batches, passes = math.ceil(cover.count / size), streamer.parts.passes
    spent = {"look": passes * batches * look, "mix": 0.0, "finish": batches * finish}
    if not streamer.parts.local:
        spent["mix"] = passes * mix_seconds(streamer, cover, count)
    return spent


def mix_seconds(streamer: Streamer, cover: Cover, count: int) -> float:
    """Seconds of the bottleneck: measured, or a t + b t^2 through two measured lengths."""
    tall, wide = cover.scaled(streamer.parts.step).sides
    side = max(1, math.isqrt(min(count, PROBE) // (tall * wide)))
    if count <= PROBE:
        probe = cover
    else:
        reach = ((side - 1) * (one - cover.overlap) + one for one in cover.sides)
        probe = Cover(*reach, cover.tile, cover.overlap, cover.wide)
    whole, room = streamer.tokens(probe)
    program = streamer.compile_mix(probe)
    n = streamer.abstract_mix(probe)[0]["share"].shape[0]
    blank = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), streamer.abstract_mix(probe)[0])
    blank |= {"share": np.full(n, 1 / n, np.float32), "extent": np.array([1, room], np.int32)}

    def run(tokens):
        valid = (np.arange(room) < tokens).astype(np.float32)
        given = {**blank, "valid": valid}
        return timed(
            lambda: jax.block_until_ready(program(streamer.variables, given, np.int32(-1)))
        )

    if count <= PROBE:
        return run(whole)
    half = whole // 2
    short, long = run(half), run(whole)
    square = max(0.0, (long / whole - short / half) / (whole - half))
    line = long / whole - square * whole
    return line * count + square * count**2


def timed(fn: Any) -> float:
    """Seconds of the middle of three calls: the fastest is not what an hour of them is like."""
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        fn()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


class Restorer:
    """Pictures of any size within a budget: plans each size, then streams."""

    takes_uint8 = True

    def __init__(self, task: Task, variables: Any, tiles: Any, budget: int | None = None):
        """`tiles` is `config.tiles`; `budget` in bytes, None for what the machine has."""
        self.streamer = Streamer(task, variables, tiles)
        self._budget = budget
        self._ways: dict[tuple, Way] = {}

    def plan(self, height: int, width: int, dtype: Any) -> Plan:
        """What an image of this size will take; runs on blank pixels."""
        return predict(self.streamer, height, width, dtype, self._budget or available())

    def fit(self, height: int, width: int, dtype: Any) -> None:
        """Chooses the way of images of a size before there is one.

        Raises:
          InputError: where none fits.
        """
        key = (height, width, 3), np.dtype(dtype).str
        if key not in self._ways:
            cover = self.streamer.cover(height, width)
            choose(self.streamer, cover, dtype, self._budget or available())
            self._ways[key] = self.streamer.way

    def __call__(self, image: np.ndarray, force: Any = -1) -> tuple[np.ndarray, dict]:
        """As `Streamer`."""
        key = image.shape, image.dtype.str
        if key not in self._ways:
            cover = self.streamer.cover(*image.shape[:2])
            held = image.nbytes  # part of the process by now, and of the plan's pixels again
            choose(self.streamer, cover, image.dtype, (self._budget or available()) + held)
            self._ways[key] = self.streamer.way
        self.streamer.way = self._ways[key]
        restored, said = self.streamer(image, force)
        self._ways[key] = self.streamer.way  # what did not fit once will not fit again
        return restored, said
