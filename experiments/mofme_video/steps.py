"""One frame restored with references of known quality: what does the network take from one?

python -m experiments.mofme_video.steps --workdir=runs/mofme_video

For frames 1, 5 and 9 of every test clip: no reference; the frame before as the network restored
it without one (own), as it truly was (true), each carried to the frame; the truth of the frame
itself (present). 'filled': where the reference shows nothing stands the frame as it came in.
PSNR in dB, unrounded, and the share of pixels within 8 of a hole.
"""

import argparse
import pathlib

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from wxjax import commands, files
from wxjax.data import clips
from wxjax.ops import color
from wxjax.recipes import single
from wxjax.systems.mofme import reference
from wxjax.systems.mofme import task as images
from wxjax.systems.mofme.network import NO_REFERENCE, build, normalise

FRAMES = (1, 5, 9)
NEAR = 8  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mofme_video"))
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("experiments/mofme_video/steps.json")
    )
    arguments = parser.parse_args()
    commands.use_compilation_cache()
    config = ConfigDict(files.read_json(arguments.workdir / "config.json"))
    _, variables, about = single.system(config, arguments.workdir)
    net, align = build(images.plain(config.model)), reference.settings(config.video)

    @jax.jit
    def restore(frame, seen):
        output, _ = net.apply(variables, jnp.concatenate([normalise(frame), seen], -1)[None])
        return jnp.clip(output[0], 0, 1)

    @jax.jit
    def bring(seen, before, now):
        """The reference as the frame needs it, and where there is none."""
        along = reference.course(align, *(color.luma(x)[..., 0] for x in (before, now)))
        hole = jnp.zeros(now.shape[:2], bool) if along is None else ~along.sure
        return reference.carry(align, normalise(seen), along, normalise(now)), hole

    def clip(example):
        rows = []
        for i in FRAMES:
            before, now, was, truth = (
                jnp.asarray(example[name][j], jnp.float32) / 255
                for name in ("image", "target")
                for j in (i - 1, i)
            )
            none = jnp.full_like(now, NO_REFERENCE)
            true, hole = bring(was, before, now)
            own, _ = bring(restore(before, none), before, now)
            present = normalise(truth)
            if align.tone:
                present = reference.toned(present, normalise(now), align.tone)
            filled = lambda seen, hole=hole, now=now: jnp.where(
                hole[..., None], normalise(now), seen
            )
            seen = {
                "none": none,
                "own": own,
                "own, filled": filled(own),
                "true": true,
                "true, filled": filled(true),
                "present": present,
            }
            found = {name: psnr(restore(now, x), truth) for name, x in seen.items()}
            ring = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
            around = cv2.dilate(np.asarray(hole, np.uint8), ring)
            rows.append({"input": psnr(now, truth), **found, "near a hole": around.mean()})
        return {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}

    source = clips.open(config.data, "test")
    made = {source[i]["id"]: clip(source[i]) for i in range(len(source))}
    files.write_json(arguments.out, {"clips": made, **about})
    for name, row in made.items():
        print(name, row)


def psnr(image, truth) -> float:
    return float(-10 * jnp.log10(jnp.mean((image - truth) ** 2)))


if __name__ == "__main__":
    main()
