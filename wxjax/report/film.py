"""What a router did over a film, as one picture."""

from collections.abc import Mapping, Sequence

import numpy as np

from wxjax.report import figures


def draw(notes: Sequence[Mapping]) -> bytes | None:
    """PNG bytes from the notes of all frames; None where they say nothing of a router.

    Above, the mean weight of each expert (mean over blocks), stacked to 1; below, the mean
    number of experts a token kept; cuts are vertical lines.
    """
    if not notes or "usage" not in notes[0]:
        return None
    usage = np.array([np.mean(note["usage"], 0) for note in notes])
    kept = np.array([np.mean(note["count"]) for note in notes])
    frames = np.array([note["frame"] for note in notes])
    cuts = [note["frame"] for note in notes if note.get("cut")]

    def paint(figure, dress):
        from matplotlib import colormaps

        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        shades = colormaps["viridis"](np.linspace(0.05, 0.95, usage.shape[1]))
        above.stackplot(frames, usage.T, colors=shades, linewidth=0)
        above.set(ylabel="expert weight", ylim=(0, 1), xlim=(frames[0], max(frames[-1], 1)))
        below.plot(frames, kept, color=dress.accent)
        below.set(xlabel="frame", ylabel="kept", ylim=(0, None))
        for axes in (above, below):
            for cut in cuts:
                axes.axvline(cut, color=dress.ink, linewidth=0.8, linestyle=":")

    return figures.render(paint, figures.LIGHT, (2 * figures.SIZE[0], figures.SIZE[1]))
