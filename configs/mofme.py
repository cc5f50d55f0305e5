r"""MoFME: one network for all weather, its experts chosen token by token.

wxjax --config=configs/mofme.py               # embedded photographs, 2 CPU cores, minutes
wxjax --config=configs/mofme.py:tiny          # what the tests train, a CPU minute
wxjax --config=configs/mofme.py:paper --config.data.root=DIR    # accelerators

Without suffix the network is small and adds to its input, so that it learns in minutes.
`:paper` is the published one (film, 16 experts, 4 kept, sigmoid) under the published
recipe: SmoothL1 + 0.04 VGG, AdamW from 4e-4 at batch 64, 200 epochs of Allweather's 18,069
pairs, crops of 240, windows of 240 at a stride of 120; clipping does what was meant there.
Weights of the published code need --config.model.router.expert_offset=published.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from configs import common, moei

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/mofme.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "mofme"
    config.stage = "network"
    config.seed = 0
    config.data = moei.get_config(size).data
    config.data.emphasis = 0.0
    config.model = dict(
        variant="film",
        dims=(16, 128, 32),  # channels of stem, tokens and tail
        depth=2,
        heads=4,
        head_dim=32,
        mlp_ratio=2,
        patch=8,
        head="residual",
        dropout=0.0,
        in_channels=3,
        dtype="float32",
        remat=False,
        router=dict(
            experts=8,
            top_k=4,
            top_p=1.0,
            temperature=1.0,
            level="token",
            samples=0,
            rate=0.1,
            executor="auto",
            expert_offset="fixed",
        ),
    )
    config.losses = dict(charbonnier=0.5, decibels=0.1, ssim=0.05)
    config.balance = dict(switch=0.0, importance=0.0, load=0.0, z=0.0)
    config.stages = dict(
        network=common.training(
            num_steps=1_500,
            ema_decay=0.995,
            log_every=25,
            checkpoint=dict(every_steps=500, keep=2),
            evaluate=dict(every_steps=500),
            optimizer=common.optimizer(learning_rate=1e-3, warmup_steps=100),
        )
    )
    config.tiles = dict(tile=256, overlap=32, blend="hann", mode="local", batch_size=1)
    config.evaluate = dict(protocol="default", crop_border=0, top2=False, samples=9)

    stage = config.stages.network
    if size == "tiny":
        config.model.update(dims=(8, 16, 8), heads=2, head_dim=8)
        config.model.router.update(experts=4, top_k=2)
        config.tiles.update(tile=64, overlap=16)
        config.evaluate.samples = 3
        stage.update(num_steps=4, log_every=2)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
        stage.optimizer.warmup_steps = 1
    if size == "paper":
        config.data.update(crops=(240,), batch_size=64)
        config.model.update(
            dims=(32, 384, 128), heads=8, head_dim=64, mlp_ratio=4, head="sigmoid", dropout=0.1
        )
        config.model.router.update(experts=16, top_k=4)
        config.losses = dict(smooth_l1=1.0, vgg=0.04)
        config.tiles.update(tile=240, overlap=120, blend="uniform", batch_size=15)
        config.evaluate.protocol = "mofme-480x720"
        epoch = 282  # steps: 18,069 pairs in batches of 64
        stage.update(num_steps=200 * epoch, ema_decay=0.0, log_every=100)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 20 * epoch
        stage.optimizer.update(
            learning_rate=4e-4,
            warmup_steps=3 * epoch,
            end_value=1e-6,
            b2=0.999,
            weight_decay=1e-2,
            clip_norm=10.0,
        )
    return config


def imported(model: Mapping) -> ConfigDict:
    """The config of a run whose weights came from elsewhere, of the sizes `model`."""
    config = get_config("paper")
    config.model = ConfigDict(dict(model))
    config.tiles.batch_size = 1
    return config
