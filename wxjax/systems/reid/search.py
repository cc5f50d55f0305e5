"""Finds the shots of a folder that look like a query; features are kept and used again.

A row of the store is used again where the files' SHA-256, the parameters' SHA-256 and the
preprocessing are those it was made with.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files
from wxjax.evaluate import runner
from wxjax.systems.reid import sheets, training
from wxjax.systems.reid.data import gallery
from wxjax.train import weights

BATCH = 32


class Store:
    """Features of shots by what they depend on, in one npz file."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._rows: dict[str, np.ndarray] = {}
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    keys, features = stored["keys"], stored["features"]
            except Exception as error:  # a damaged store costs time, never a result
                print(f"{path}: not readable ({error}); it is made anew")
            else:
                self._rows = dict(zip(keys.tolist(), features, strict=True))

    def get(self, key: str) -> np.ndarray | None:
        return self._rows.get(key)

    def put(self, keys: Sequence[str], features: np.ndarray) -> None:
        self._rows |= dict(zip(keys, features, strict=True))

    def save(self) -> None:
        keys = sorted(self._rows)
        with files.atomic(self.path) as file:
            np.savez(
                file, keys=np.array(keys), features=np.stack([self._rows[key] for key in keys])
            )


class Searcher:
    """A trained network as a function of shots, with a store of what it has seen."""

    def __init__(self, config: ConfigDict, workdir: pathlib.Path):
        task, variables, _, self._config = training.system(config, workdir)
        self._predict, self._variables = jax.jit(task.predict), jax.device_put(variables)
        self._weights = files.sha256(workdir / "system" / weights.ARRAYS)
        self.modalities = tuple(config.data.modalities)
        self.size = tuple(config.data.size)

    def key(self, record: gallery.Record) -> str:
        """What the feature of a shot depends on."""
        parts = [files.sha256(path) if path else "-" for path in record.files]
        how = f"{self.size} {self._config.evaluate.neck} v1"
        return " ".join([self._weights[:16], how, *(part[:32] for part in parts)])

    def embed(self, records: Sequence[gallery.Record], store: Store | None, label: str = ""):
        """Features `[n f]` float32 of unit length, and how many were computed."""
        keys = [self.key(record) for record in records]
        known = [store.get(key) if store else None for key in keys]
        todo = [i for i, feature in enumerate(known) if feature is None]
        source = gallery.Files(records, "search", self.modalities, self.size)
        starts = range(0, len(todo), BATCH)
        for start in runner.track(starts, None, label) if label and todo else starts:
            part = todo[start : start + BATCH]
            features = self._run([source[i] for i in part])
            for i, feature in zip(part, features, strict=True):
                known[i] = feature
            if store:
                store.put([keys[i] for i in part], features)
        if store and todo:
            store.save()
        found = np.stack(known).astype(np.float32)
        norms = np.linalg.norm(found, axis=-1, keepdims=True)
        return found / np.maximum(norms, 1e-9), len(todo)

    def _run(self, shots: Sequence[dict]) -> np.ndarray:
        """One batch, padded to a power of two so that few programs are compiled; float16, as
        the store keeps it, so that a second run ranks as the first."""
        room = 1 << (len(shots) - 1).bit_length()
        padded = [*shots, *[shots[-1]] * (room - len(shots))]
        batch = {
            "image": np.stack([s["image"] for s in padded]).astype(np.float32) / np.float32(255),
            "present": np.stack([s["present"] for s in padded]),
        }
        features = np.asarray(self._predict(self._variables, batch)["feature"])[: len(shots)]
        return features.astype(np.float16)


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    query: str,
    folder: str,
    out: pathlib.Path,
    top: int = 10,
) -> dict[str, Any]:
    """Ranks the shots of `folder` by likeness to `query`; a sheet and a record under `out`.

    Args:
      query: a picture (its other bands are found beside it), or 'rgb=A.jpg,tir=B.jpg'.

    Raises:
      InputError: where query or folder hold no picture that the network can read.
    """
    searcher = Searcher(config, workdir)
    asked = gallery.one_shot(query, searcher.modalities)
    root = pathlib.Path(folder)
    records = gallery.loose(root, searcher.modalities)
    records = [r for r in records if r.files != asked.files]
    if not records:
        raise errors.bad("--gallery", str(root), "holds no picture besides the query")
    name = files.sha256_text(str(root.resolve()))[:16]
    store = Store(workdir / "gallery" / f"{name}.npz")
    features, fresh = searcher.embed(records, store, "gallery")
    vector, _ = searcher.embed([asked], None)
    likeness = features @ vector[0]
    order = np.argsort(-likeness, kind="stable")[:top]
    made = {
        "query": asked.id,
        "gallery": len(records),
        "embedded": fresh,
        "reused": len(records) - fresh,
        "results": [
            {
                "rank": rank,
                "id": records[i].id,
                "similarity": round(float(likeness[i]), 4),
                "files": [str(path) for path in records[i].files if path],
            }
            for rank, i in enumerate(order, 1)
        ],
    }
    shown = gallery.Files([asked, *(records[i] for i in order)], "sheet", searcher.modalities,
                          searcher.size)  # fmt: skip
    hue = lambda i: frame(asked.pid, records[i].pid)
    results = [(shown[n + 1]["image"], hue(i)) for n, i in enumerate(order)]
    labels = [f"{likeness[i]:.3f}" for i in order]
    sheet = sheets.contact_sheet(shown[0]["image"], results, asked.id, labels)
    files.write_bytes(out / "search.png", sheet)
    files.write_json(out / "search.json", made)
    return made


def frame(asked: int, found: int) -> tuple[int, int, int]:
    """Green and red where the names of both files say who they show; grey where not."""
    if gallery.UNKNOWN in (asked, found):
        return 140, 149, 159
    return sheets.GREEN if asked == found else sheets.RED
