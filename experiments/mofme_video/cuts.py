"""Scene cuts found and missed on packaged films under falling snow.

python -m experiments.mofme_video.cuts
"""

import jax
import jax.numpy as jnp
import numpy as np

from wxjax.data import films
from wxjax.data.synthesis import snowfall
from wxjax.systems.mofme import streaming

TRUE = {"bikes": {30, 76, 137, 187, 242}, "carphone": set()}  # first frames of scenes, by eye


def found(clip: np.ndarray, cuts: streaming.Cuts) -> tuple[set[int], np.ndarray]:
    """Frames that the detector calls a cut, and the numbers it reads: change, level, tones."""

    def step(state, frame):
        luma = streaming.thumbnail(frame.astype(jnp.float32) / 255)
        change = jnp.abs(luma - state["luma"]).mean()
        tones = 0.5 * jnp.abs(streaming.histogram(luma) - streaming.histogram(state["luma"])).sum()
        cut = streaming.is_cut(luma, state, change, cuts)
        level = jnp.where(state["number"] == 1, change, state["level"])
        mixed = streaming.MEMORY * level + (1 - streaming.MEMORY) * change
        level = jnp.where(cut, level, mixed)
        level = jnp.where(state["number"] == 0, 0.0, level)
        after = {"luma": luma, "level": level, "number": state["number"] + 1}
        return after, (cut, jnp.stack([change, state["level"], tones]))

    start = streaming.init_state(8, 8)
    start = {name: start[name] for name in ("luma", "level", "number")}
    _, (cut, read) = jax.lax.scan(step, start, jnp.asarray(clip))
    return set(np.flatnonzero(cut).tolist()), np.asarray(read)


def main() -> None:
    print(
        "| film | snow | cuts | found | missed | false | least change of a cut | most of no cut |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, true in TRUE.items():
        clean = films.film(name)
        for strength in (None, 0.25, 0.5, 0.8):
            rng = np.random.default_rng(0)
            clip = clean if strength is None else snowfall.degrade(clean, rng, strength)[0]
            got, read = found(clip, streaming.Cuts())
            rest = [i for i in range(2, len(clip)) if i not in true]
            least = f"{min(read[i, 0] for i in true):.3f}" if true else "-"
            print(
                f"| {name} | {strength or 'none'} | {len(true)} | {len(got & true)} | "
                f"{sorted(true - got)} | {sorted(got - true)} | {least} | "
                f"{max(read[i, 0] for i in rest):.3f} |"
            )


if __name__ == "__main__":
    main()
