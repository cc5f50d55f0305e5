"""Quality per byte at given hours: a folder of photographs, and a drawn light map.

python -m experiments.tod.bytes photographs DIR --out=experiments/tod/results/bytes.json
python -m experiments.tod.bytes light --size=256x512 --out=experiments/tod/results/light.json
"""

import argparse
import functools

from wxjax import files
from wxjax.metrics import restoration
from wxjax.systems.tod import lightmap, rates
from wxjax.systems.tod.data import day as daytime
from wxjax.systems.tod.data import valley


def photographs(root: str) -> list[dict]:
    """The whole hours of a folder."""
    day = daytime.folder(root)
    chosen = daytime.whole_hours(day)
    measure = functools.partial(restoration.measure, protocol="default", crop_border=0)
    return rates.curve(day.hours[chosen], day.frames[chosen], 24.0, measure)


def light(height: int, width: int) -> list[dict]:
    """The drawn valley from above, 24 hours and both switches."""
    hours = tuple(sorted([*map(float, range(24)), *valley.LIGHTS[0]]))
    frames, mask = valley.lightmap(hours, height, width)
    return rates.light(hours, frames, 24.0, mask, lightmap.measure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("photographs", "light"))
    parser.add_argument("root", nargs="?", default="")
    parser.add_argument("--size", default="256x512")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    size = [int(n) for n in args.size.split("x")]
    rows = photographs(args.root) if args.what == "photographs" else light(*size)
    files.write_json(args.out, rows)
    for row in rows:
        text = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
        print(f"{row['method']:9s} {row['setting']:3d}: {text}")


if __name__ == "__main__":
    main()
