r"""MoFME on video: the restored frame before is a second input.

wxjax --config=configs/mofme_video.py         # packaged films with synthetic snow, minutes
wxjax --config=configs/mofme_video.py:tiny    # what the tests train, a CPU minute
wxjax --config=configs/mofme_video.py:paper --config.data.root=RVSD     # accelerators

The network is `configs/mofme.py`'s with a stem of 6 channels. It trains on clips, from the
truth at first and then seven times of ten from its own outputs; the published code trains on
the truth alone. `:paper` has the published sizes and rate (batch 16, 1e-4), for RVSD.
"""

from ml_collections import ConfigDict

from configs import mofme

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/mofme_video.py:{size}: expected one of {', '.join(SIZES)}.")
    config = mofme.get_config(size)
    config.system = "mofme_video"
    config.model.in_channels = 6
    config.data = dict(
        name="embedded",  # or path: RVSD, NTURain, or VIDEO/{input,gt} at `root`
        root="",
        seed=0,
        frames=3,  # of a training clip
        crops=(96,),
        batch_size=2,
        count=500,  # embedded only: training clips synthesized before the first step
        crop=112,  # their side in pixels
        eval_count=12,
        eval_crop=112,
        test_crop=256,
        test_frames=29,
        drift_crop=192,
        choice_crop=144,  # clips on which a run decides whether the reference is worth it
        choice_frames=16,
        choice_count=8,
        augment="flip",
        emphasis=0.0,
    )
    stage = config.stages.network
    steps = stage.num_steps = {"default": 1_200, "tiny": 4, "paper": 50_000}[size]
    config.video = dict(
        own=((0, 0.0), (steps // 2, 0.7)),  # share of own outputs, by step
        drop=0.1,
        noise=0.02,
        shift=1,
        tint=0.05,
        rest=0.5,
        align=dict(follow=True, doubt=0.04, tone=16.0),
        cuts=dict(detect=True, difference=0.09, ratio=2.0, histogram=0.15, every=0),
    )
    config.evaluate.protocol = "rvsd"
    if size == "tiny":
        config.data.update(
            frames=2,
            crops=(32,),
            count=4,
            crop=40,
            eval_count=2,
            eval_crop=32,
            test_crop=48,
            test_frames=4,
            drift_crop=32,
            choice_crop=40,
            choice_frames=4,
            choice_count=2,
        )
        config.tiles.update(tile=64, overlap=16)
    if size == "paper":
        config.data.update(name="path", frames=4, crops=(240,), batch_size=16, augment="dihedral")
        config.model.remat = True
        stage.optimizer.update(learning_rate=1e-4, warmup_steps=600)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2_500
    return config
