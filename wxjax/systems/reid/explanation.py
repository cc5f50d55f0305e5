"""Why two shots are alike to the network: gates, a split of the similarity, windows, what if."""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files
from wxjax.report import figures
from wxjax.systems.reid import explain, sheets, training
from wxjax.systems.reid import measure as evaluation
from wxjax.systems.reid.data import shots
from wxjax.systems.reid.measure import Embedder
from wxjax.systems.reid.model import Network
from wxjax.systems.reid.sizes import sizes_of

NEAREST = 5


def run(
    config: ConfigDict, workdir: pathlib.Path, query: str, item: str, out: pathlib.Path
) -> dict[str, Any]:
    """Explains how `item` ranks for `query`, both ids of the run's test split.

    Writes explain.json and explain.png under `out`.

    Raises:
      InputError: for an id that the split does not have, or a network without experts.
    """
    task, variables, _, one = training.system(config, workdir)
    source = shots.open(config.data, "test")
    known = evaluation.describe(source)
    places = [_find(known, text) for text in (query, item)]
    net = Network(sizes_of(one))
    pair = {
        "image": np.stack([source[i]["image"] for i in places]).astype(np.float32) / 255,
        "present": np.stack([source[i]["present"] for i in places]),
    }
    parts = jax.device_get(
        jax.jit(lambda v, b: explain.contributions(net, v, b, one.evaluate.neck))(variables, pair)
    )
    order = [n for n in ("global", *net.sizes.labels(), "residual", "offset") if n in parts]
    table = explain.split(*({name: parts[name][i] for name in order} for i in range(2)))
    embed = Embedder(task, variables, config.evaluate.batch_size)
    every = embed(source, label="explain")
    feature = every["feature"]
    similarity = float(feature[places[0]] @ feature[places[1]])
    total = sum(sum(row.values()) for row in table.values())
    made = {
        "query": str(known.ids[places[0]]),
        "item": str(known.ids[places[1]]),
        "same_identity": bool(known.pid[places[0]] == known.pid[places[1]]),
        "similarity": similarity,
        "split": table,
        "split_sum": total,
        "gates": {
            name: {
                head: dict(zip(net.sizes.labels(), map(float, every["gates"][i, h]), strict=True))
                for h, head in enumerate(net.sizes.heads())
            }
            for name, i in zip(("query", "item"), places, strict=True)
        },
        "removed": removed(config, embed, source, known, every, places, net.sizes.labels()),
        "nearest": {
            name: nearest(known, every, i)
            for name, i in zip(("query", "item"), places, strict=True)
        },
    }
    images = [source[i]["image"] for i in places]
    shares = {name: x[np.array(places)] for name, x in every.get("shares", {}).items()}
    files.write_bytes(out / "explain.png", draw(made, images, shares))
    files.write_json(out / "explain.json", made)
    return made


def _find(known: Any, text: str) -> int:
    found = np.flatnonzero(known.ids == pathlib.Path(text).stem)
    if not len(found):
        raise errors.unknown("explain", text, [str(i) for i in known.ids[:200]])
    return int(found[0])


def removed(config, embed, source, known, every, places, names) -> dict[str, dict]:
    """AP of the query, and rank and similarity of the item, without each expert in turn."""
    gates = every["gates"]
    found = {"none": _outcome(config, known, every["feature"], places)}
    for e, name in enumerate(names):
        left = gates * (np.arange(gates.shape[-1]) != e)
        left = left / np.maximum(left.sum(-1, keepdims=True), 1e-9)
        out = embed(source, gates=left.astype(np.float32))
        found[name] = _outcome(config, known, out["feature"], places)
    return found


def _outcome(config, known, feature, places) -> dict[str, Any]:
    ranking, q, g = evaluation.compare(
        known, feature, protocol=training.protocol(config), keep=len(known.ids)
    )
    at = np.flatnonzero(q == places[0])
    similarity = float(feature[places[0]] @ feature[places[1]])
    if not len(at):
        return {"ap": None, "rank": None, "similarity": similarity}
    order = ranking.order[at[0]]
    rank = np.flatnonzero(g[order[order >= 0]] == places[1])
    return {
        "ap": float(ranking.ap[at[0]]) if ranking.valid[at[0]] else None,
        "rank": int(rank[0]) + 1 if len(rank) else None,  # None: removed by the protocol
        "similarity": similarity,
    }


def nearest(known, every, place: int) -> list[str]:
    """The most alike shots that the same expert answers for in most bands."""
    choice = every["gates"].argmax(-1)
    alike = (choice == choice[place]).all(1)
    likeness = np.where(alike, every["feature"] @ every["feature"][place], -np.inf)
    likeness[place] = -np.inf
    order = np.argsort(-likeness)[:NEAREST]
    return [str(known.ids[i]) for i in order if np.isfinite(likeness[i])]


def draw(made: dict, images: list, shares: dict) -> bytes:
    """Pictures with their windows, the split as a table of colours, gates, and what if."""

    def panels(figure, dress):
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1.5, 1.2))
        left.imshow(_pictures(images, shares))
        left.set_title("query and item; windows by scale", loc="left")
        left.axis("off")
        names = list(made["split"])
        table = np.array([[made["split"][a][b] for b in names] for a in names])
        limit = max(1e-6, np.abs(table).max())
        middle.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for y, row in enumerate(table):
            for x, value in enumerate(row):
                middle.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7,
                            color="black" if abs(value) < 0.6 * limit else "white")  # fmt: skip
        middle.set_xticks(range(len(names)), names, rotation=60)
        middle.set_yticks(range(len(names)), names)
        middle.grid(False)
        words = f"similarity {made['similarity']:.3f} = sum of the cells"
        middle.set_title(words, loc="left")
        what = made["removed"]
        right.barh(range(len(what)), [w["similarity"] for w in what.values()], color=dress.accent)
        labels = [f"without {name}" if name != "none" else "as it is" for name in what]
        right.set_yticks(range(len(what)), labels)
        for y, w in enumerate(what.values()):
            ap = "" if w["ap"] is None else f" AP {100 * w['ap']:.0f}"
            rank = "" if w["rank"] is None else f" rank {w['rank']}"
            right.text(0.02, y, f"{rank}{ap}", va="center", fontsize=8, color="white")
        right.invert_yaxis()
        right.set_title("similarity without an expert", loc="left")

    return figures.render(panels, figures.LIGHT, (13, 4.6))


def _pictures(images: list, shares: dict) -> np.ndarray:
    columns = []
    for i, image in enumerate(images):
        columns.append(np.concatenate(list(image), 0))
        for name in sorted(shares, key=lambda name: int(name.removeprefix("scale"))):
            scale = int(name.removeprefix("scale"))
            bands = [sheets.overlay(b, shares[name][i, m], scale) for m, b in enumerate(image)]
            columns.append(np.concatenate(bands, 0))
        columns.append(np.full((columns[0].shape[0], 12, 3), 255, np.uint8))
    return np.concatenate(columns[:-1], 1)
