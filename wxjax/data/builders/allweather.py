"""TFDS builder of AllWeather (Valanarasu et al. 2022), for array_record, without TensorFlow.

Manual download: `train/{input,gt}`, `test_rain`, `test_raindrop`, `test_snow`, each with
`input` and `gt`. Prepare once with `prepare(manual_dir, data_dir)`.
"""

import hashlib
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wxjax import errors
from wxjax.data import layouts, records, sources

_KINDS = (*records.DEGRADATIONS, "mixed", "unknown")


class Allweather(tfds.core.GeneratorBasedBuilder):
    """Pairs of snow, rain with fog, and raindrops; the known leak is left out of training."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train/ and the test_* folders into manual_dir."

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "target": tfds.features.Image(shape=(None, None, 3)),
            "kind": tfds.features.ClassLabel(names=list(_KINDS)),
            **{name: text for name in ("id", "scene", "dataset")},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            homepage="https://github.com/jeya-maria-jose/TransWeather",
        )

    def _split_generators(self, dl_manager: Any):
        root = pathlib.Path(os.fspath(dl_manager.manual_dir))
        pairs = sources.folder(root)
        parts = {}
        for split in ("train", "val_router", "val_calib", "test"):
            try:
                parts[split] = sources.within(pairs, split).rows
            except errors.InputError:  # a small or partial copy can lack one
                continue
        return {name: self._generate_examples(root, rows) for name, rows in parts.items()}

    def _generate_examples(self, root: pathlib.Path, rows: list[records.Record]):
        for row in rows:
            yield (
                row.id,
                {
                    "image": root / row.path_raw,  # the file's bytes are stored as they are
                    "target": root / str(row.path_gt),
                    "kind": row.degradation,
                    "id": row.id,
                    "scene": row.scene_id,
                    "dataset": dataset_of(row),
                },
            )


def dataset_of(row: records.Record) -> str:
    """'allweather', or of a test set its folder's name too: allweather-test_snow."""
    top = pathlib.PurePath(row.path_raw).parts[0]
    return "allweather" if top == "train" else f"allweather-{top}"


def prepare(manual_dir: os.PathLike | str, data_dir: os.PathLike | str) -> None:
    """Writes the array_record files.

    Raises:
      InputError: where `manual_dir` has not the layout.
    """
    layouts.scan(manual_dir)
    builder = Allweather(data_dir=os.fspath(data_dir), file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=os.fspath(manual_dir))
    builder.download_and_prepare(download_config=config)


class Records:
    """A prepared split as examples of wxjax."""

    def __init__(self, split: str, data_dir: os.PathLike | str):
        builder = Allweather(data_dir=os.fspath(data_dir), file_format="array_record")
        if not builder.is_prepared():
            raise errors.bad(
                "config.data.root",
                os.fspath(data_dir),
                "expected a folder with a prepared 'allweather' in it",
                "Prepare it once: wxjax.data.builders.allweather.prepare(manual_dir, data_dir).",
            )
        if split not in builder.info.splits:
            raise errors.unknown("split", split, builder.info.splits)
        skip = {name: tfds.decode.SkipDecoding() for name in ("image", "target")}
        self._data = builder.as_data_source(split)
        self._raw = builder.as_data_source(split, decoders=skip)
        self.split = split
        self._items: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._data[index]
        text = {name: row[name].decode() for name in ("id", "scene", "dataset")}
        pictures = {name: np.asarray(row[name], np.uint8) for name in ("image", "target")}
        return {**sources.labels(_KINDS[int(row["kind"])], None, index), **text, **pictures}

    def kinds(self) -> list[str]:
        return [_KINDS[int(self._raw[i]["kind"])] for i in range(len(self))]

    def severities(self) -> np.ndarray:
        return np.full(len(self), np.nan, np.float32)

    def items(self) -> dict[str, str]:
        """id -> digest of the stored bytes; one pass over the files, then kept."""
        if not self._items:
            for i in range(len(self)):
                row = self._raw[i]
                data = hashlib.sha256(row["image"] + row["target"])
                self._items[row["id"].decode()] = data.hexdigest()[:16]
        return self._items

    def __repr__(self) -> str:
        return f"allweather({self.split}, {len(self)}, {sources.fingerprint(self)[:16]})"


def source(split: str, data_dir: os.PathLike | str) -> Records:
    """The source that `sources.tfds` hands out; 'val' is val_router."""
    return Records("val_router" if split == "val" else split, data_dir)
