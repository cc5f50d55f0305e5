r"""Time of day: one fixed view at any hour, from a few photographs of it.

wxjax --config=configs/tod.py               # a drawn valley, 2 CPU cores, minutes
wxjax --config=configs/tod.py:tiny          # what the tests train, a CPU minute
wxjax --config=configs/tod.py:normal        # and a network beside it: fast 1,500 steps,
                                            # normal 10,000, full 50,000
wxjax --config=configs/tod.py:paper         # 192x320, full: accelerators
wxjax --config=configs/tod.py --config.data.name=folder --config.data.root=DIR

The default field, `sunfield`, interpolates between the frames given, regresses them on the
sun's position, and blends both by how well each finds a hidden frame, all in closed form;
`--config.model.residual_net` trains a network on what is left, as `:paper` does.
`--config.model.field=mlp` with `film`, `use_baseline_encoder` and `training.patch_size` off is
the source's first model; `encoder`, `dense`, `hash2d`, `hash3d`, `basis` are the others.
`--config.protocol` says which hours are hidden: R none, odd, half, loo, list (`val_hours`).
"""

from ml_collections import ConfigDict

from configs import common

BUDGETS = {"fast": 1_500, "normal": 10_000, "full": 50_000}  # steps of the network's training
SIZES = ("default", "tiny", "paper", *BUDGETS)


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/tod.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "tod"
    config.stage = "field"
    config.seed = 0
    config.protocol = "odd"  # R, odd, half, loo, list
    config.val_hours = ()  # of list
    config.val_in_train = False
    config.val_downsample = 1  # of validation while training; the report is at full size
    config.data = dict(
        name="embedded",  # or folder, lightmap: at root
        root="",
        period=24.0,  # 365 for a year of dates
        height=96,
        width=160,
        seed=3,
        clouds=0.0,
        latitude=40.0,
        declination=0.0,
    )
    config.model = dict(
        field="sunfield",
        period=24.0,
        transfer="srgb",
        # the hour
        time_code="sun",
        time_harmonics=4,
        latitude=40.0,
        declination=0.0,
        shift=0.0,
        learn_sun=True,
        lights=(18.1, 5.9),
        # the place
        xy_code="octave",
        xy_harmonics=0,  # 0: as many as the picture's size asks for
        xy_include_input=True,
        levels=5,
        level_channels=4,
        hash_levels=12,
        hash_features=2,
        hash_log2=15,
        hash_times=12,
        use_baseline_encoder=False,
        be_channels=32,
        be_downsample=1,
        be_mode="concat",
        be_input="baseline",
        # the network
        activation="relu",
        hidden=64,
        layers=2,
        film=True,
        dtype="float32",
        quant="none",  # of the grids as stored: fp16, int8
        # what it is added to
        residual_mode=True,
        baseline_time=12.0,
        anchor="pchip",
        ridge=0.1,
        residual_net=False,  # a network on what the closed forms leave between frames
        rank=8,  # of basis; of bake the bytes of so many pictures
        basis_fit="svd",  # or grid, trained
    )
    config.training = dict(
        patch_size=32,  # 0: single pixels
        batch_size=8_192,  # pixels a step
        groups=32,  # hours a step in single pixels
        charbonnier=False,
        loss_l2_w=1.0,
        loss_ssim_w=0.2,
        loss_lpips_w=0.0,
        lpips_freq=1,
        loss_static_w=1e-4,  # of what the network of `sunfield` adds: most of a view stands still
    )
    config.stages = dict(
        field=common.training(
            num_steps=1_500,
            ema_decay=0.999,
            log_every=25,
            checkpoint=dict(every_steps=500, keep=2),
            evaluate=dict(every_steps=500),
            optimizer=common.optimizer(
                learning_rate=2e-3, warmup_steps=50, end_value=4e-5, weight_decay=0.0
            ),
        )
    )
    config.evaluate = dict(protocol="default", samples=6, lpips=True)

    stage = config.stages.field
    if size == "tiny":
        config.data.update(height=32, width=48)
        config.model.update(residual_net=True, levels=3, hidden=8, hash_levels=3, hash_log2=8)
        config.training.update(patch_size=16, batch_size=512, groups=4)
        config.evaluate.samples = 2
        stage.update(num_steps=4, log_every=2)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
        stage.optimizer.warmup_steps = 1
    if size == "paper":
        config.data.update(height=192, width=320)
        size = "full"
    if size in BUDGETS:
        config.model.residual_net = True
        every = max(500, BUDGETS[size] // 10)
        stage.update(num_steps=BUDGETS[size], log_every=max(25, every // 50))
        stage.checkpoint.every_steps = stage.evaluate.every_steps = every
    return config
