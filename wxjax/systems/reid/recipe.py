"""Re-identification: trains every variant with every seed, ranks, tests the gate, reports."""

import functools
import pathlib

from ml_collections import ConfigDict

from wxjax.systems.reid import measure, scores, training, variants
from wxjax.systems.reid.data import shots


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, ranks the test split, and writes the report."""
    load = functools.cache(lambda split: shots.open(config.data, split))
    for split in ("val", "test"):
        measure.check(load(split), training.protocol(config), split)
    for name in variants.expand(config.study.variants):
        for seed in config.study.seeds:
            training.train(config, workdir, name, int(seed), load)
    training.ship(config, workdir)
    scores.test(config, workdir, load)
