r"""DehazeXL-MoE-I: one backbone, three adapter experts, a sample-level router.

Stages, each skipped once its product exists:
dense -> dehaze, derain, desnow (two parts each) -> soft labels -> router ->
calibration -> test -> report.

wxjax --config=configs/moei.py                # embedded photographs, 2 CPU cores, minutes
wxjax --config=configs/moei.py:tiny           # what the tests train, a CPU minute
wxjax --config=configs/moei.py:paper --config.data.root=DIR    # the full recipe, accelerators

Without suffix the model is DehazeXL's structure at a quarter of its widths and three
stages; `:paper` has the official sizes (Swin-T encoder, 125 M parameters).
"""

from ml_collections import ConfigDict

from configs import common

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/moei.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "moei"
    config.stage = "system"
    config.seed = 0

    config.data = dict(
        name="embedded",  # or path (a folder or meta.jsonl at `root`) or tfds
        root="",
        builder="allweather",  # tfds only
        leaks="exclude",  # or keep: training pictures known to be in a test set
        degradations=(),  # a selection; empty is all
        seed=0,
        crops=(128,),  # a curriculum: equal parts of training
        batch_size=4,
        count=2_400,  # embedded set only: training crops synthesized before the first step
        crop=144,  # their side in pixels
        router_count=1_200,  # embedded set only: fresh compositions that the router learns on
        router_crop=128,
        val_router_count=60,  # embedded set only: examples that the calibration sees
        val_calib_count=60,
        eval_count=90,  # embedded set only: test examples
        eval_crop=256,
        augment="dihedral",
        emphasis=0.0,  # above 0: late in training, severe and edge-rich examples come more often
    )
    config.model = dict(
        region=128,
        patch=4,
        dims=(48, 96, 192),
        depths=(1, 1, 2),
        head_dim=48,
        window=8,
        mlp_ratio=2,
        bottleneck=dict(depth=1, heads=4, chunk=1024),
        decoder=dict(
            depth=1,
            head_dim=96,
            window=8,
            up="conv",
            head="conv",  # three convolutions at full size; published: linear
            head_width=16,
            head_init="zeros",
            alone=0,
        ),
        shell=dict(kind="adapter", ratio=1 / 16, rank=8, where="decoder"),
        dtype="float32",
        remat=False,
        alone=0,  # side of maps that go a region at a time on a CPU; 0: none
    )
    config.losses = dict(
        haze=dict(charbonnier=0.5, decibels=0.1, ssim=0.05),
        rain=dict(charbonnier=0.5, decibels=0.1, edge=0.05, direction=0.02),
        snow=dict(charbonnier=0.5, decibels=0.1, lpips=0.05),
    )
    config.dense_losses = dict(
        haze=dict(charbonnier=0.5, decibels=0.1, ssim=0.05),
        rain=dict(charbonnier=0.5, decibels=0.1, ssim=0.05),
        snow=dict(charbonnier=0.5, decibels=0.1, ssim=0.05),
    )
    config.stages = dict(
        dense=common.training(
            num_steps=850,
            ema_decay=0.995,
            log_every=25,
            checkpoint=dict(every_steps=425, keep=2),
            evaluate=dict(every_steps=425),
            optimizer=common.optimizer(learning_rate=1e-3, warmup_steps=100),
        ),
        part1=common.training(
            num_steps=120,
            ema_decay=0.98,
            log_every=25,
            checkpoint=dict(every_steps=120, keep=2),
            evaluate=dict(every_steps=120),
            optimizer=common.optimizer(learning_rate=1e-3, warmup_steps=20),
        ),
        part2=common.training(
            num_steps=0,  # left out: one more program to compile, some 25 s, for a few steps
            ema_decay=0.95,
            log_every=25,
            checkpoint=dict(every_steps=50, keep=2),
            evaluate=dict(every_steps=50),
            optimizer=common.optimizer(learning_rate=1e-4, warmup_steps=5),
        ),
        router=common.training(
            num_steps=100,  # more, or faster, and the net learns the training photographs
            ema_decay=0.98,
            log_every=50,
            checkpoint=dict(every_steps=100, keep=1),
            evaluate=dict(every_steps=100),
            optimizer=common.optimizer(learning_rate=1e-4, warmup_steps=20, weight_decay=1e-2),
        ),
    )
    # Layers that an expert's fine-tuning unfreezes besides its shells, part by part.
    config.unfrozen = dict(
        part1=("decoder/level2_.*", "decoder/up.*", "decoder/output/.*"),
        part2=("decoder/level1_.*",),
    )
    config.router = dict(
        kind="mlp",  # convnext_t, tiny_vit; none: nothing is gathered for a router
        width=64,
        depth=1,
        dropout=0.5,
        int8=False,
        batch_size=64,
        mse_scale="decibel",  # or unit (q ~ exp(-beta MSE)), relative (MSE over its mean)
        beta=50.0,
        decibels=0.5,
        labels=300,  # pictures on which every expert is tried; 0: the whole split
        start=dict(count=3_000, strength=1.0),  # pictures a split for its logistic start; 0: none
        prior=0.8,  # share of a soft label that goes to the degradation's own expert
        lapses=True,  # calibration by a rate of lapses beside the temperature
        max_abstention=0.10,
    )
    config.tiles = dict(tile=256, overlap=32, blend="hann", mode="global", batch_size=1)
    config.evaluate = dict(protocol="default", crop_border=0, top2=True, samples=9)

    if size == "tiny":
        config.data.update(
            crops=(32,),
            batch_size=4,
            count=24,
            crop=48,
            router_count=12,
            router_crop=32,
            val_router_count=9,
            val_calib_count=9,
            eval_count=9,
            eval_crop=64,
        )
        config.model.update(region=32, dims=(8, 16), depths=(1, 1), head_dim=8, window=4)
        config.model.bottleneck.update(heads=2)
        config.model.decoder.update(head_dim=16, window=4)
        config.losses.snow = dict(charbonnier=1.0, ssim=0.05)  # LPIPS compiles for seconds
        config.unfrozen.update(part1=("decoder/level1_.*", "decoder/output/.*"), part2=())
        config.tiles.update(tile=64, overlap=16)
        config.router.update(batch_size=8, width=8)
        config.evaluate.samples = 3
        for stage in config.stages.values():
            stage.update(num_steps=4, log_every=2)
            stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
            stage.optimizer.warmup_steps = 1
    if size == "paper":
        config.data.update(name="path", crops=(256, 384, 512), batch_size=32)
        config.model.update(
            region=256,
            dims=(96, 192, 384, 768),
            depths=(2, 2, 6, 2),
            head_dim=32,
            window=16,
            mlp_ratio=4,
            dtype="bfloat16",
            remat=True,
        )
        config.model.bottleneck.update(depth=2, heads=8)
        config.model.decoder.update(depth=2, head_dim=64, head="linear", head_init="uniform")
        config.unfrozen.update(
            part1=("decoder/level3_.*", "decoder/up256/.*", "decoder/output/.*"),
            part2=("decoder/level2_.*",),
        )
        config.tiles.update(tile=512, overlap=64, batch_size=4)
        config.router.update(width=256, batch_size=256, dropout=0.1, prior=0.0)
        config.router.start.count = config.router.labels = 0
        config.router.lapses = False
        config.losses = dict(
            haze=dict(charbonnier=1.0, ssim=0.05),
            rain=dict(charbonnier=1.0, edge=0.05, direction=0.02),
            snow=dict(charbonnier=1.0, lpips=0.05),
        )
        config.dense_losses = config.losses.copy_and_resolve_references()
        config.data.emphasis = 0.5
        recipe = dict(
            dense=(450_000, 2e-4, 1_500),
            part1=(100_000, 2e-4, 1_500),
            part2=(40_000, 2e-5, 1_500),
            router=(20_000, 1e-4, 1_500),
        )
        for name, (steps, rate, warmup) in recipe.items():
            stage = config.stages[name]
            stage.update(num_steps=steps, ema_decay=0.999, accumulate=1, log_every=100)
            stage.optimizer.update(learning_rate=rate, warmup_steps=warmup, weight_decay=1e-4)
            stage.checkpoint.every_steps = stage.evaluate.every_steps = min(5_000, steps)
    return config
