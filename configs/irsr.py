r"""Infrared super-resolution by 4: a diffusion in wavelet bands that starts at bicubic.

wxjax --config=configs/irsr.py               # embedded photographs and thermal scenes, 2 CPU cores
wxjax --config=configs/irsr.py:tiny          # what the tests train, a CPU minute
wxjax --config=configs/irsr.py:paper --config.data.root=DIR    # accelerators, your own frames

Without suffix a small network learns a chain of 15 steps on 16 packed Haar bands of a grey
frame, in residual coordinates, and is sampled in 4 of them. `:paper` has the published
network (118.6 M) and its optimizer. Other methods by --config.model.kind: cascade, plan_b,
plan_c, regression; what they have to beat: linear, edsr, rcan, swinir; the source's codecs by
--config.codec.kind with --config.model.coordinates=raw. `wxjax compare` puts runs in a table.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from configs import common

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/irsr.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "irsr"
    config.stage = "network"
    config.seed = 0
    config.data = dict(
        name="embedded",  # or path: a folder of frames at `root`, with HR/ and LR/ or without
        root="",
        degradation="pillow-bicubic",  # or matlab-bicubic, real-esrgan; where no LR/ is given
        scale=4,
        seed=0,
        crops=(32,),  # pixels of the small frame
        batch_size=8,
        augment="dihedral",
        emphasis=0.0,
        thermal=0.5,  # embedded set only: share of synthetic thermal scenes
        count=800,  # embedded set only: frames made before the first epoch ends
        crop=160,  # their side in pixels
        eval_count=24,
        eval_crop=192,
    )
    config.model = dict(
        kind="diffusion",
        scale=4,
        channels=1,
        coordinates="residual",
        unet=dict(
            side=32,  # of the latent in training: the small frame's crop
            width=32,
            multiples=(1, 1, 2),
            blocks=(1, 1, 1),
            attention=(8,),
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
        light=dict(width=64, pairs=4, dtype="float32"),
        baseline=dict(width=48, blocks=4, groups=2, depth=2, window=8, swin_dim=64),
    )
    config.codec = dict(kind="packed", wavelet="haar", levels=2, mode="periodization")
    config.diffusion = dict(
        steps=15, kappa=2.0, min_noise=0.04, power=0.3, end=0.99, capped=False, predict="xstart"
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
            optimizer=common.optimizer(learning_rate=1e-3, warmup_steps=100, weight_decay=0.0),
        )
    )
    config.tiles = dict(tile=96, overlap=16, blend="hann", mode="local", batch_size=1)
    config.evaluate = dict(protocol="default", crop_border=0, top2=False, samples=6)

    stage = config.stages.network
    if size == "tiny":
        config.model.unet.update(side=16, multiples=(1, 1), blocks=(1, 1), attention=(16, 8))
        config.model.unet.update(swin_dim=32)
        config.model.light.update(width=16, pairs=1)
        config.model.baseline.update(width=16, blocks=1, groups=1, depth=1, swin_dim=32)
        config.data.update(crops=(16,), batch_size=2, count=8, crop=72, eval_count=4, eval_crop=72)
        config.tiles.update(tile=16, overlap=4)
        config.evaluate.samples = 2
        stage.update(num_steps=4, log_every=2)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
        stage.optimizer.warmup_steps = 1
    if size == "paper":
        published(config)
        config.data.update(name="path", crops=(64,), batch_size=16)
        config.tiles.update(tile=128, overlap=32)
        stage.update(num_steps=200_000, ema_decay=0.999, log_every=100)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 5_000
        stage.optimizer.update(learning_rate=5e-5, warmup_steps=5_000, end_value=1e-6, b2=0.999)
    return config


def published(config: ConfigDict) -> None:
    """The network and the chain of ResShift and DifIISR, in `config`."""
    config.model.unet.update(side=64, multiples=(1, 2, 2, 4), attention=(64, 32, 16, 8))
    config.model.unet.update(width=160, blocks=(2, 2, 2, 2), swin_dim=192, mlp_ratio=4)
    config.diffusion.update(capped=True)
    config.sampling.update(steps=15, randomness=1.0)


def imported(model: Mapping) -> ConfigDict:
    """The config of a run whose weights came from elsewhere, of the UNet sizes `model`."""
    config = get_config("paper")
    config.model.unet = ConfigDict(dict(model))
    return config
