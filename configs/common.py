"""Fragments that the systems' configs are built from."""

from ml_collections import ConfigDict


def optimizer(**overrides) -> ConfigDict:
    """AdamW under a warmed-up cosine; `frozen` lists patterns of parameter names."""
    fields = dict(
        learning_rate=2e-4,
        warmup_steps=0,
        schedule="cosine",
        end_value=0.0,
        b1=0.9,
        b2=0.99,
        weight_decay=1e-4,
        clip_norm=1.0,
        frozen=(),
    )
    return ConfigDict(fields | overrides)


def training(**overrides) -> ConfigDict:
    """What the loop reads besides the optimizer; durations in steps.

    `checkpoint.best` keeps the best step of a metric (such as eval/psnr), and after
    `evaluate.patience` evaluations without a better one (0: never) the run ends.
    """
    fields = dict(
        num_steps=100_000,
        ema_decay=0.999,
        accumulate=1,
        log_every=50,
        mesh=dict(devices=0, fsdp=False),
        optimizer=optimizer(),
    )
    fields["checkpoint"] = dict(every_steps=1_000, keep=2, best="")
    fields["evaluate"] = dict(every_steps=1_000, patience=0)
    for name in ("checkpoint", "evaluate"):
        fields[name] |= overrides.pop(name, {})
    return ConfigDict(fields | overrides)
