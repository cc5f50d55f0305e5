r"""The weather model that ships, trained from clean photographs under drawn weather.

wxjax --config=configs/weather.py --config.data.root=PHOTOGRAPHS --workdir=runs/weather

PHOTOGRAPHS is made by `python -m experiments.weather_model.prepare`; every command of the
model's making stands in experiments/weather_model/README.md.
"""

from ml_collections import ConfigDict

from configs import common, moei

SIZES = ("default", "tiny")
KINDS = ("clean", "haze", "rain", "veiled_rain", "snow", "drops", "two")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/weather.py:{size}: expected one of {', '.join(SIZES)}.")
    config = moei.get_config()
    config.system = "weather"
    config.model.update(
        block="conv",
        region=128,
        patch=2,
        dims=(32, 48, 96, 160),
        depths=(1, 1, 1, 1),
        mlp_ratio=2,
    )
    config.model.bottleneck = dict(depth=2, heads=4, cells=16)
    config.model.decoder = dict(depths=(1, 1, 1, 0))
    config.model.shell.kind = "none"
    config.data = dict(
        name="photographs",
        root="",
        crop=128,
        widest=4.0,  # crops of up to so many times the side, made smaller
        rows=4,  # of a batch; each holds the slots of all heads
        seed=0,
        pools=dict(seed=0, streaks=512, flakes=384, drops=160),
    )
    config.joint = dict(
        owned=("bottleneck/.*", "decoder/.*"),
        slots=(1, 2, 3, 2),  # of dense, dehaze, derain, desnow in a row
        # shares of KINDS: clean, haze, rain, veiled rain, snow, drops, two
        dense=(0.12, 0.25, 0.18, 0.12, 0.15, 0.10, 0.08),
        dehaze=(0.06, 0.86, 0.0, 0.0, 0.0, 0.0, 0.08),
        derain=(0.05, 0.0, 0.50, 0.20, 0.0, 0.20, 0.05),
        desnow=(0.05, 0.0, 0.0, 0.0, 0.90, 0.0, 0.05),
        draws=dict(typical=0.6),  # see systems/weather/degrade.py: Draws
        losses=dict(charbonnier=1.0, decibels=0.03),
    )
    config.tiles = dict(
        tile=1024,
        overlap=64,
        margin=32,  # the image's own border, mirrored, so that a tile's rim is never seen
        fit=True,  # equal tiles of at most `tile` pixels a side
        blend="crop",
        mode="global",
        batch_size=1,
    )
    config.router.update(leave=True, width=64, dropout=0.2, labels=0, prior=0.8)
    config.router.update(labels_count=1_600, kinds_count=6_400, calibration_count=800, crop=192)
    config.router.shares = (0.2, 0.24, 0.18, 0.08, 0.18, 0.08, 0.04)  # of KINDS
    config.router.start.count = 0
    config.stages.router.update(num_steps=1_500, log_every=100)
    config.stages.router.checkpoint.every_steps = 1_500
    config.stages.router.evaluate.every_steps = 1_500
    config.stages.router.optimizer.update(learning_rate=1e-3, warmup_steps=50)
    config.stages.joint = common.training(
        num_steps=100_000,
        ema_decay=0.999,
        log_every=50,
        checkpoint=dict(every_steps=250, keep=2),
        evaluate=dict(every_steps=0),
        optimizer=common.optimizer(learning_rate=1e-3, warmup_steps=200, schedule="constant"),
    )
    config.stages.anneal = common.training(
        num_steps=1_000,
        ema_decay=0.995,
        log_every=50,
        checkpoint=dict(every_steps=250, keep=2),
        evaluate=dict(every_steps=0),
        optimizer=common.optimizer(learning_rate=7e-4, warmup_steps=20),
    )
    if size == "tiny":
        config.model.update(region=32, dims=(8, 8), depths=(1, 1))
        config.model.bottleneck.update(depth=1, heads=2)
        config.model.decoder.depths = (1, 0)
        config.data.update(crop=32, rows=2)
        config.data.pools.update(streaks=4, flakes=4, drops=4)
        config.stages.router.update(num_steps=4, log_every=2)
        config.stages.router.optimizer.warmup_steps = 1
        config.stages.router.checkpoint.every_steps = config.stages.router.evaluate.every_steps = 2
        config.router.update(
            labels_count=16, kinds_count=16, calibration_count=16, crop=64, width=8
        )
        config.stages.joint.update(num_steps=4, log_every=2)
        config.stages.joint.optimizer.warmup_steps = 1
        config.stages.joint.checkpoint.every_steps = 2
        config.stages.anneal.update(num_steps=2, log_every=1)
        config.stages.anneal.optimizer.warmup_steps = 1
    return config
