"""From the files of a video run to `report.md`, `figures/*.png` and `index.html`."""

import pathlib
from collections.abc import Mapping

import numpy as np

from wxjax import files
from wxjax.report import document, evidence, figures
from wxjax.report.cells import Cell, Table, number

NAMES = {"input": "Input", "frame": "Frame by frame", "video": "With the frame before"}


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report of a video run from what its workdir holds; runs no network.

    Raises:
      InputError: where `workdir` holds no `video.json`.
    """
    workdir = pathlib.Path(workdir)
    summary = files.read_json(workdir / "video.json")
    training = evidence.training(workdir)
    document.write(
        workdir,
        summary["model"],
        tables=tables(summary),
        plots=document.draw(workdir, available(summary, training)),
        pictures=document.samples(workdir, captions),
    )


def tables(summary: Mapping) -> list[Table]:
    """Quality with first frames apart, steadiness, experts, drift."""
    variants = summary["variants"]
    header = ("", "PSNR dB ↑", "first frame", "later", "SSIM ↑", "LPIPS ↓", "ms a frame")
    rows = [
        (
            Cell(NAMES[name]),
            *(Cell(number(entry["psnr"][part])) for part in ("all", "first", "later")),
            Cell(number(entry["ssim"]["all"], 4)),
            Cell(number(entry["lpips"]["all"], 4)),
            Cell(number(entry["latency_ms"], 0)),
        )
        for name, entry in variants.items()
    ]
    clips = f"mean over frames of a clip, then {summary['clips']} clips"
    note = f"Protocol {summary['protocol']}; {clips}.{choice(summary)}"
    found = [Table("Quality", header, rows, note)]
    header = ("", "Warping error ×1000 ↓", "tOF px ↓", "Difference ×1000 ↓")
    scaled = lambda value: None if value is None else 1000 * value
    rows = [
        (
            Cell(NAMES[name]),
            Cell(number(scaled(entry["warping"]), 3)),
            Cell(number(entry["tof"], 3)),
            Cell(number(scaled(entry["difference"]), 3)),
        )
        for name, entry in variants.items()
    ]
    floor = number(scaled(variants["input"]["warping_floor"]), 3)
    note = f"Flow: {summary['flow']}, of the clean clip. The clean clip's warping error: {floor}."
    found.append(Table("Steadiness", header, rows, note))
    found += [experts(summary["gates"])] if summary.get("gates") else []
    if summary.get("drift"):
        rows = [(Cell(NAMES[n]), Cell(number(d["change"]))) for n, d in summary["drift"].items()]
        count = len(next(iter(summary["drift"].values()))["psnr"])
        note = f"Last against early frames of {count}, one scene: below 0 the quality falls."
        found.append(Table("Drift", ("", "PSNR change, dB"), rows, note))
    return found


def choice(summary: Mapping) -> str:
    """What the run decided on clips of its own, and that `restore` follows."""
    found = summary.get("reference")
    if not found or not found["clips"]:
        return ""
    return (
        f" On clips set apart to decide: {found['video']:.2f} dB with the frame before, "
        f"{found['frame']:.2f} without; restore follows: "
        f"{'it remembers' if found['kept'] else 'frame by frame'}."
    )


def experts(gates: Mapping) -> Table:
    """Mean weight of each expert (mean over blocks) on first and on later frames."""
    count = len(next(iter(gates.values()))["usage"][0])
    header = ("Frames", *(str(i) for i in range(count)), "kept", "covered")
    rows = [
        (
            Cell({"first": "no reference", "later": "with a reference"}[name]),
            *(Cell(number(float(w), 3)) for w in np.mean(entry["usage"], 0)),
            Cell(number(entry["count"])),
            Cell(number(entry["covered"])),
        )
        for name, entry in gates.items()
    ]
    note = "Mean over tokens, blocks and frames; covered: share of pixels with a reference."
    return Table("Expert weights", header, rows, note)


def available(summary: Mapping, training: Mapping) -> dict:
    """name -> (caption, draw, size)."""
    plots = {}
    if summary.get("gates"):
        plots["experts"] = (
            "Mean weight of each expert, a panel a block: frames without a reference, and with.",
            lambda f, d: weights(f, d, summary["gates"]),
            (2 * figures.SIZE[0], 3.0),
        )
    if summary.get("drift"):
        plots["drift"] = (
            "PSNR of every frame of one long scene.",
            lambda f, d: drift(f, d, summary["drift"]),
            (2 * figures.SIZE[0], 3.0),
        )
    if training:
        plots["training"] = (
            "Training loss.",
            lambda f, d: figures.training(f, d, training),
            (2 * figures.SIZE[0], 2.4),
        )
    return plots


def weights(figure, dress, gates: Mapping) -> None:
    """Bars of each expert's mean weight, first and later frames side by side."""
    blocks = len(next(iter(gates.values()))["usage"])
    panels = figure.subplots(1, blocks, sharey=True, squeeze=False)[0]
    words = {"first": "no reference", "later": "with a reference"}
    for block, axes in enumerate(panels):
        for i, (name, entry) in enumerate(gates.items()):
            usage = entry["usage"][block]
            places = np.arange(len(usage)) + 0.38 * (i - 0.5)
            axes.bar(places, usage, 0.36, color=dress.hues[i], label=words[name])
        axes.set_title(f"block {block}", loc="left")
        axes.set_xlabel("expert")
        axes.set_xticks(range(len(usage)))
    panels[0].set_ylabel("mean weight")
    panels[-1].legend()


def drift(figure, dress, found: Mapping) -> None:
    """PSNR against the frame's number."""
    axes = figure.subplots()
    for i, (name, entry) in enumerate(found.items()):
        axes.plot(entry["psnr"], color=dress.hues[i], label=NAMES[name], linewidth=1.2)
    axes.set(xlabel="frame", ylabel="PSNR, dB")
    axes.legend()


def samples(folder: pathlib.Path, found: Mapping[str, np.ndarray]) -> None:
    """Two pictures of one clip `{variant: [t h w 3]}`: its last frame, and a row over time."""
    from PIL import Image

    if not found:
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "frame": [clip[-1] for clip in found.values()],
        "profile": [np.repeat(clip[:, clip.shape[1] // 2], 4, 0) for clip in found.values()],
    }
    for name, parts in rows.items():
        Image.fromarray(np.concatenate(parts, 1)).save(folder / f"{name}.png")


def captions(path: pathlib.Path) -> str:
    order = "from left to right: input, frame by frame, with the frame before, truth"
    return {
        "frame": f"The last frame of the first test clip; {order}.",
        "profile": f"Its middle row over time, downwards: flicker is noise; {order}.",
    }[path.stem]
