r"""Infrared super-resolution by 4: a diffusion in wavelet bands that starts at bicubic.

wxjax --config=configs/irsr.py               # 2 CPU cores
wxjax --config=configs/irsr.py:tiny          # what the tests train, a CPU minute
wxjax --config=configs/irsr.py:paper         # accelerators

Without suffix a network of 3.7 M parameters runs a chain of 4 steps on 16 packed Haar bands
of a grey image, in residual coordinates. `:paper` has the published network (118.6 M) and
chain (15 steps), and its optimizer. Other methods by --config.model.kind: cascade, plan_b,
plan_c, regression; the source's codecs by --config.codec.kind with
--config.model.coordinates=raw.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from configs import common, moei

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/irsr.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "irsr"
    config.recipe = "single"
    config.stage = "network"
    config.seed = 0
    config.data = moei.get_config(size).data
    config.model = dict(
        kind="diffusion",
        scale=4,
        channels=1,
        coordinates="residual",
        unet=dict(
            side=64,  # of the latent in training: a quarter of the crop's
            width=32,
            multiples=(1, 2, 2, 4),
            blocks=(1, 1, 1, 1),
            attention=(64, 32, 16, 8),
            swin_depth=2,
            swin_dim=64,
            head_dim=32,
            window=8,
            mlp_ratio=2,
            mask="swin",
            extractor=0,
            zero_head=True,
            dropout=0.0,
            remat=False,
            dtype="float32",
        ),
        light=dict(width=64, dtype="float32"),
    )
    config.codec = dict(kind="packed", wavelet="haar", levels=2, mode="periodization")
    config.diffusion = dict(
        steps=4, kappa=2.0, min_noise=0.2, power=0.3, end=0.99, capped=False, predict="xstart"
    )
    config.sampling = dict(steps=4, spacing="endpoints", randomness=0.0, consistency=0)
    config.losses = dict(
        bands="sqrt", steps="smooth", weighted=False, regression=1.0, image=dict(l1=1.0)
    )
    config.stages = dict(
        network=common.training(
            num_steps=3_000,
            ema_decay=0.995,
            log_every=25,
            checkpoint=dict(every_steps=500, keep=2),
            evaluate=dict(every_steps=500),
            optimizer=common.optimizer(learning_rate=2e-4, warmup_steps=100, weight_decay=0.0),
        )
    )
    config.tiles = dict(tile=64, overlap=16, blend="hann", mode="local", batch_size=1)
    config.evaluate = dict(protocol="default", crop_border=0, top2=False, samples=9)

    stage = config.stages.network
    if size == "tiny":
        config.model.unet.update(side=16, multiples=(1, 1), blocks=(1, 1), attention=(16, 8))
        config.model.unet.update(swin_dim=32)
        config.model.light.width = 16
        config.tiles.update(tile=16, overlap=4)
        config.evaluate.samples = 3
        stage.update(num_steps=4, log_every=2)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
        stage.optimizer.warmup_steps = 1
    if size == "paper":
        published(config)
        stage.update(num_steps=200_000, ema_decay=0.999, log_every=100)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 5_000
        stage.optimizer.update(learning_rate=5e-5, warmup_steps=5_000, end_value=1e-6, b2=0.999)
    return config


def published(config: ConfigDict) -> None:
    """The network and the chain of ResShift and DifIISR, in `config`."""
    config.model.unet.update(width=160, blocks=(2, 2, 2, 2), swin_dim=192, mlp_ratio=4)
    config.diffusion.update(steps=15, min_noise=0.04, capped=True)
    config.sampling.update(steps=15, randomness=1.0)


def imported(model: Mapping) -> ConfigDict:
    """The config of a run whose weights came from elsewhere, of the UNet sizes `model`."""
    config = get_config("paper")
    config.model.unet = ConfigDict(dict(model))
    return config
