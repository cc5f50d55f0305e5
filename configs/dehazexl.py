r"""DehazeXL alone: the backbone of moei as one network, no experts and no router.

wxjax --config=configs/dehazexl.py            # embedded photographs, hazy only, minutes
wxjax --config=configs/dehazexl.py:tiny       # what the tests train, a CPU minute
wxjax --config=configs/dehazexl.py:paper --config.data.root=8KDehaze   # accelerators

`:swin-t` (which `:paper` is) and `:swin-s` are the official networks under the published
recipe: 125,484,996 and 146,866,260 parameters, crops of 2048 with quarter-turns, L1 and
FFT-L1, AdamW from 1e-4 to 1e-6 along a cosine, 40 epochs of 8,500 pictures in pairs.

The Fourier term is orthonormal. As in the official code, where it outweighs L1 1448
times at 2048 pixels:  --config.losses.haze.fft_l1=0 --config.losses.haze.fft_l1_official=1
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from configs import common, moei

DEPTHS = {"swin-t": (2, 2, 6, 2), "swin-s": (2, 2, 18, 2)}
SIZES = ("default", "tiny", "paper", *DEPTHS)
PARTS = ("part1", "part2", "router")  # of moei's training; none of them here


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/dehazexl.py:{size}: expected one of {', '.join(SIZES)}.")
    official = size not in ("default", "tiny")
    config = moei.get_config("paper" if official else size)
    config.system, config.stage = "dehazexl", "dense"
    for part in PARTS:
        del config.stages[part]
    weights = dict(l1=1.0, fft_l1=1.0, fft_l1_official=0.0)
    config.losses = {kind: dict(weights) for kind in ("haze", "rain", "snow")}
    config.data.degradations = ("haze",)
    config.model.decoder.head = "linear"  # as published
    config.model.bottleneck.attention = "exact"  # or hyper, or auto: hyper from 4096 tokens on
    # One region a tile: then tiles change nothing, and a picture is one image as published.
    # On a CPU the larger maps go a region at a time and stay in its cache; small ones go
    # together, for 64 tokens are too few for a product with megabytes of weights.
    config.model.alone, config.model.decoder.alone = 32, 16
    config.tiles.update(tile=config.model.region, overlap=0, batch_size=8)
    config.router.kind, config.evaluate.top2 = "none", False
    if official:
        config.data.update(name="path", crops=(2048,), batch_size=2, augment="rotate", emphasis=0.0)
        config.model.depths = DEPTHS.get(size, DEPTHS["swin-t"])
        config.stages.dense = common.training(
            num_steps=170_000,
            ema_decay=0.999,
            log_every=100,
            checkpoint=dict(every_steps=1_000, keep=2),
            evaluate=dict(every_steps=4_250),
            optimizer=common.optimizer(
                learning_rate=1e-4, end_value=1e-6, b2=0.999, weight_decay=1e-2
            ),
        )
    return config


def imported(model: Mapping) -> ConfigDict:
    """The config of a run whose weights came from elsewhere, of the sizes `model`."""
    config = get_config("paper")
    config.model = ConfigDict(dict(model))
    config.tiles.update(tile=config.model.region, overlap=0, batch_size=8)
    return config
