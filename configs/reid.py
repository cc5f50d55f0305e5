r"""Re-identification over visible, near-infrared and thermal: multi-scale experts, gated.

wxjax --config=configs/reid.py                # synthetic people, 2 CPU cores, minutes
wxjax --config=configs/reid.py:tiny           # what the tests train, a CPU minute
wxjax --config=configs/reid.py:paper --config.data.root=DIR    # RGBNT201, accelerators

The run trains the mixture and the MLP baselines of equal cost with several seeds, and says
whether the experts help and whether the gate does anything. `:paper` is the field's recipe:
CLIP's ViT-B/16, 256 x 128, 8 identities x 8 shots, Adam 3.5e-4 (trunk 5e-6), 50 epochs.
"""

from ml_collections import ConfigDict

from configs import common

SIZES = ("default", "tiny", "paper")


def get_config(size: str = "default") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"configs/reid.py:{size}: expected one of {', '.join(SIZES)}.")
    config = ConfigDict()
    config.system = "reid"
    config.stage = "network"
    config.seed = 0
    config.data = dict(
        name="pedestrians",  # or rgbnt201, rgbnt100, msvr310, market, folder, npz
        root="",
        seed=0,
        modalities=("rgb", "nir", "tir"),
        size=(128, 64),
        train=48,  # identities of the synthetic splits
        val=12,
        test=40,
        takes=4,
        held_out=0.15,  # of a real set's training identities, for validation
        batch=dict(identities=6, instances=4),
        augment=dict(flip=0.5, shift=4, brightness=(0.6, 1.4), erase=0.0),
    )
    config.model = dict(
        backbone="conv3",
        pretrained="",  # CLIP's ViT-B/16 from a file of yours, for vit_b16
        shared_stem=False,
        features=64,
        scales=(4, 8, 16),
        replicas=1,
        block="moe",
        mlp_hidden=0,
        fusion="shared",
        shared_experts=1,
        final=False,
        layer_scale=1.0,
        executor="dense",
        identities=2,  # set by the recipe
        cameras=0,
        windows=dict(mode="grid2d", pool="attn", overlap=True),
        experts=dict(
            ratio=2.0,
            layers=2,
            kind="mlp",
            residual="linear",
            residual_weight=1.0,
            dropout=0.0,
            slimmable=False,
            adaptive=False,  # a width for each shot, of slimmable experts
        ),
        gate=dict(
            kind="learned",
            weights=(),
            depth=2,
            input="concat",
            schedule="fixed",
            temperature=1.0,
            heads=1,
            heads_mode="mean",
            top_k=0,
            top_p=1.0,
            least=1,
            renormalise=True,
            noise=True,
            dropout=0.0,
            bias=False,
        ),
    )
    # From scratch in 600 steps a triplet of weight 1 pulls all features into one point.
    config.losses = dict(identity=1.0, triplet=0.1, smoothing=0.1, margin=0.0, direct=0.5)
    config.balance = dict(mi=((0, 0.0), (200, 0.0), (600, 0.2)), z=1e-3)
    config.modality_dropout = 0.15
    config.stages = dict(
        network=common.training(
            num_steps=600,
            ema_decay=0.98,
            log_every=20,
            checkpoint=dict(every_steps=100, keep=2, best="eval/ap"),
            evaluate=dict(every_steps=100),
            optimizer=common.optimizer(learning_rate=4e-3, warmup_steps=20),
        )
    )
    config.study = dict(variants=("moe", "mlp", "mlp_matched", "average"), seeds=(0, 1, 2))
    config.federate = dict(
        split="camera",  # or identity, into `clients` shards
        clients=4,
        rounds=20,
        steps=20,  # of every client in a round
        sampling=1.0,  # share of the clients that take part in a round
        proximal=0.01,
        every=5,  # rounds between scores
    )
    config.shrink = dict(ratios=(0.0, 0.1, 0.3, 0.5, 0.7), fine_tune=60)
    config.search = dict(configs=27, eta=3, steps=60, generations=2, children=4)
    config.evaluate = dict(
        protocol="auto",  # camera, scene or self: what a true match must differ in
        neck="after",
        batch_size=32,
        chunk=256,
        max_rank=50,
        ap="plain",
        rerank=False,
        repeats=20,
    )

    stage = config.stages.network
    if size == "tiny":
        config.data.update(train=6, val=4, test=5, takes=2)
        config.data.batch.update(identities=3, instances=2)
        config.model.update(features=16, backbone="patch")
        config.study.update(variants=("moe", "mlp"), seeds=(0,))
        config.federate.update(split="identity", clients=2, rounds=2, steps=2, every=1)
        config.shrink.update(ratios=(0.0, 0.5), fine_tune=2)
        config.search.update(configs=3, steps=2, generations=1, children=1)
        config.evaluate.update(batch_size=8, chunk=8, repeats=2)
        config.balance = dict(mi=((0, 0.0), (2, 0.0), (4, 0.2)), z=1e-3)
        stage.update(num_steps=4, log_every=2)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 2
        stage.optimizer.warmup_steps = 1
    if size == "paper":
        config.data.update(name="rgbnt201", size=(256, 128))
        config.losses.update(identity=0.25, triplet=1.0)
        config.data.batch.update(identities=8, instances=8)
        config.data.augment.update(shift=10, brightness=(1.0, 1.0), erase=0.5)
        config.model.update(backbone="vit_b16", shared_stem=True, features=512, layer_scale=0.1)
        config.model.experts.dropout = config.model.gate.dropout = 0.1
        config.study.update(variants=("moe", "mlp", "mlp_matched"))
        epoch = 62  # steps: 3,951 triplets in batches of 64
        config.balance = dict(mi=((0, 0.0), (17 * epoch, 0.0), (50 * epoch, 0.2)), z=1e-3)
        stage.update(num_steps=50 * epoch, ema_decay=0.0, log_every=epoch)
        stage.checkpoint.every_steps = stage.evaluate.every_steps = 5 * epoch
        stage.optimizer.update(
            learning_rate=3.5e-4,
            warmup_steps=10 * epoch,
            end_value=3.5e-7,
            b2=0.999,
            rates=(("backbone/.*", 5e-6 / 3.5e-4), (".*/bias", 2.0)),
        )
    return config
