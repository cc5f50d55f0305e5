"""One network for video: trains on clips, measures it streaming, reports.

A stage whose product stands in the workdir is skipped; a killed run goes on where it was.
"""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from wxjax import errors, files, systems
from wxjax.data import clips, films, sources
from wxjax.evaluate import stamp
from wxjax.recipes import pictures, single, stages
from wxjax.systems import Evaluated, EvaluateOptions, RestoreOptions
from wxjax.systems.mofme import measure as streaming
from wxjax.systems.mofme import report, temporal
from wxjax.train import provenance, weights

CHOSEN = 12  # clips at most that decide about the reference
FLAT = 20  # frames that the drift is told from, at the beginning and at the end


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains what is missing, measures it on the test clips, and writes the report."""
    if config.data.name == "embedded":
        print(films.describe())
    load = functools.cache(lambda split: clips.open(config.data, split))
    folder = workdir / "system"
    if not (folder / "weights.json").exists():
        name = config.stage
        variables = stages.train(
            stages.stage_config(config, name, name),
            load("train"),
            workdir / name,
            name=name,
            validation=validation_batch(load("val_router"), config.data.crops[0]),
        )
        about = provenance.of(config, load("train"))
        about["reference"] = choose(config, variables, load("choice"))
        weights.save(folder, variables, about)
    test(config, workdir, load("test"))


def choose(config: ConfigDict, variables: Any, source: Any) -> dict[str, Any]:
    """Whether the frame before is worth remembering: PSNR with and without, over whole clips.

    Training sees three frames at a time; whether what is left in one frame grows in the next
    shows after some more. A reference that costs more than it gains, or of which no clip of
    two frames can tell, is not `kept`, and then `restore` works frame by frame unless
    --reference asks for it.
    """
    task = systems.make(stages.stage_config(config, config.stage, config.stage))
    most = config.data.get("choice_frames", 16)
    found = {}
    for name, remember in (("frame", False), ("video", True)):
        streamer = streaming.Streamer(task, variables, remember)
        values = []
        for example in (source[i] for i in range(min(len(source), CHOSEN))):
            if len(example["image"]) < 2 or "target" not in example:
                continue
            restored, _ = streaming.restore(streamer, example["image"][:most])
            values.append(psnr(restored, example["target"][:most])[1:].mean())
        if not values:
            print("reference: no validation clip of two frames to decide on: not used")
            return {"frame": None, "video": None, "clips": 0, "kept": False}
        found[name] = float(np.mean(values))
    print(
        f"reference: {found['video']:.2f} dB with the frame before, {found['frame']:.2f} dB "
        f"without: {'kept' if found['video'] > found['frame'] else 'not used'}"
    )
    return {**found, "clips": len(values), "kept": found["video"] > found["frame"]}


def psnr(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of every frame `[t h w 3]`, 8 bits."""
    gap = (clip.astype(np.float32) - truth) / 255
    return -10 * np.log10(np.mean(gap**2, (1, 2, 3)) + 1e-10)


def test(config: ConfigDict, workdir: pathlib.Path, source: Any) -> None:
    """Rows, summary and report on `source`; skipped where they stand already."""
    stamp.once(
        config,
        workdir,
        lambda: evaluate(config, workdir, workdir, source),
        {
            "weights_hash": stamp.weights_hash(workdir),
            "data_hash": sources.fingerprint(source),
            "protocol": config.evaluate.protocol,
            "cuts": config.video.cuts.to_dict(),
        },
    )
    report.build(workdir)


def evaluate(config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path, source: Any) -> dict:
    """Measures the input, frame by frame, and with the frame before; written under `out`.

    Rows of every frame and of every clip, `video.json` of their means, and samples.
    """
    task, variables, about = single.system(config, workdir)
    streamers = {
        "frame": streaming.Streamer(task, variables, remember=False),
        "video": streaming.Streamer(task, variables),
    }
    shown: dict[str, Any] = {}

    def keep(name: str, found: Mapping[str, Any]) -> None:
        if not shown:
            shown.update({variant: clip for variant, clip in found.items() if clip is not None})

    examples = (source[i] for i in range(len(source)))
    protocol = config.evaluate.protocol
    measured = streaming.run(streamers, examples, task.measure, protocol=protocol, keep=keep)
    for name, rows in zip(("frames", "clips"), measured, strict=True):
        files.write_jsonl(out / f"per_{name.removesuffix('s')}.jsonl", rows)
    made = {
        "model": systems.load(config.system).title,
        "protocol": protocol,
        "flow": temporal.FLOW,
        "clips": len(source),
        "variants": {name: means(name, *measured) for name in streaming.VARIANTS},
        "gates": gates(measured[0]),
        "drift": drift(config, streamers, task),
        **about,
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "test_hash": sources.fingerprint(source),
    }
    files.write_json(out / "video.json", made)
    report.samples(out / "samples", shown)
    return made


def means(variant: str, frames: Sequence[Mapping], clips: Sequence[Mapping]) -> dict:
    """Every score of one variant, over frames of a clip and then clips; first frames apart."""
    chosen = [row for row in frames if row["variant"] == variant]
    parts = {"all": slice(None), "first": slice(0, 1), "later": slice(1, None)}
    metrics = ("psnr", "ssim", "lpips")
    found: dict[str, Any] = {
        name: {part: streaming.by_video(chosen, name, cut) for part, cut in parts.items()}
        for name in metrics
    }
    steady = [row["metrics"] for row in clips if row["variant"] == variant]
    for name in ("warping", "warping_floor", "tof", "difference"):
        values = [row[name] for row in steady if name in row]
        found[name] = float(np.mean(values)) if values else None
    spent = [row["latency_ms"] for row in chosen if "latency_ms" in row]
    found["latency_ms"] = float(np.median(spent)) if spent else None
    return found


def gates(frames: Sequence[Mapping]) -> dict[str, Any] | None:
    """Expert weights `[l e]` and experts kept, of first frames and of the rest."""
    chosen = [row for row in frames if row["variant"] == "video" and "usage" in row]
    if not chosen:
        return None
    first, later = ([r for r in chosen if r["referenced"] == bool(i)] for i in (0, 1))
    return {
        name: {
            "frames": len(rows),
            "usage": np.mean([row["usage"] for row in rows], 0).tolist(),
            "count": float(np.mean([row["count"] for row in rows])),
            "entropy": float(np.mean([row["entropy"] for row in rows])),
            "covered": float(np.mean([row["covered"] for row in rows])),
        }
        for name, rows in (("first", first), ("later", later))
        if rows
    }


def drift(config: ConfigDict, streamers: Mapping[str, Any], task: Any) -> dict | None:
    """PSNR frame by frame over one long scene, and its change from beginning to end, dB."""
    if config.data.name != "embedded":
        return None
    example = clips.open(config.data, "drift")[0]
    out: dict[str, Any] = {}
    for name, streamer in streamers.items():
        restored, _ = streaming.restore(streamer, example["image"])
        values = psnr(restored, example["target"])
        flat = min(FLAT, len(values) // 4)
        change = float(values[-flat:].mean() - values[flat : 2 * flat].mean())
        out[name] = {"psnr": np.round(values, 4).tolist(), "change": change}
    return out


def streamer(
    config: ConfigDict, workdir: pathlib.Path, options: RestoreOptions
) -> tuple[streaming.Streamer, dict[str, Any]]:
    """The network as a stream of frames, and its settings, for `restore/video.py`.

    The frame before is remembered where `options.reference` says so; where it says nothing,
    if the run's own clips said that it is worth it.
    """
    if config.tiles.get("average"):
        raise errors.bad("--tile-mode", "average", "films are not averaged")
    with config.unlocked():
        cuts = config.video.cuts
        cuts.detect = cuts.detect and options.scene_reset
        cuts.every = options.reset_every or cuts.every
    pictures.allow(config, options.memory, None)
    task, variables, about = single.system(config, workdir)
    remember = options.reference
    if remember is None:
        remember = about.get("reference", {}).get("kept", True)

    def rebuild(batch: int):
        changed = stages.stage_config(config, config.stage, config.stage)
        changed.tiles.batch_size = batch
        return systems.make(changed)

    budget = config.tiles.get("memory", 0) or None
    sizes = dict(batch=config.tiles.batch_size, rebuild=rebuild, budget=budget)
    return streaming.Streamer(task, variables, remember, **sizes), {
        "model": systems.load(config.system).title,
        "weights_hash": files.sha256(workdir / "system" / "weights.npz"),
        "commit": about.get("commit"),
        "tile": config.tiles.tile,
        "overlap": config.tiles.overlap,
        "blend": config.tiles.blend,
        "cuts": config.video.cuts.to_dict(),
        "align": config.video.align.to_dict() if "align" in config.video else None,
        "remember": remember,
    }


def measure(config: ConfigDict, workdir: pathlib.Path, options: EvaluateOptions) -> Evaluated:
    """Rows, means and page: of the run's own test clips, or of a folder of clips."""
    if not options.data:
        test(config, workdir, clips.open(config.data, "test"))
        return Evaluated(workdir)
    found = clips.scan(options.data)
    held = [film for film in found if film.split == "test"]
    out = options.folder(workdir)
    made = evaluate(config, workdir, out, clips.Folder(held or found))
    report.build(out)
    lines = []
    for variant, entry in made["variants"].items():
        figures = ", ".join(
            f"{name} {entry[name]['all']:.3f}"
            for name in ("psnr", "ssim", "lpips")
            if entry[name]["all"] is not None
        )
        lines.append(f"{variant:8s} {figures}")
    return Evaluated(out, lines)


def validation_batch(source: Any, side: int, most: int = 12) -> dict:
    """The middle `side` x `side` pixels of the first clips of a source."""
    found = [source[i] for i in range(min(len(source), most))]

    def middle(clip: np.ndarray) -> np.ndarray:
        y, x = (max(0, (length - side) // 2) for length in clip.shape[1:3])
        return clip[:, y : y + side, x : x + side]

    return {
        "image": np.stack([middle(e["image"]) for e in found]) / np.float32(255),
        "target": np.stack([middle(e["target"]) for e in found]),
        "kind": [e["kind"] for e in found],
    }
