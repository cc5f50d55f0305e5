"""Pictures of shots: ranked lists in coloured frames, contact sheets, windows over pictures."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

GREEN, RED, BLUE = (46, 160, 67), (207, 34, 46), (9, 105, 218)


def framed(image: np.ndarray, hue: Sequence[int], width: int = 3) -> np.ndarray:
    """Bands of a shot `[m h w 3]` below each other, in a coloured frame."""
    tall = np.concatenate(list(image), 0)
    out = np.full((tall.shape[0] + 2 * width, tall.shape[1] + 2 * width, 3), hue, np.uint8)
    out[width:-width, width:-width] = tall
    return out


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sheet(query: np.ndarray, results: Sequence[tuple[np.ndarray, Sequence[int]]]) -> np.ndarray:
    """A query in blue, and results in their frames, in one row."""
    parts = [framed(query, BLUE)]
    gap = np.full((parts[0].shape[0], 10, 3), 255, np.uint8)
    parts.append(gap)
    for image, hue in results:
        parts += [framed(image, hue), gap[:, :3]]
    return np.concatenate(parts, 1)


def contact_sheet(
    query: np.ndarray,
    results: Sequence[tuple[np.ndarray, Sequence[int]]],
    name: str,
    labels: Sequence[str],
    columns: int = 10,
) -> bytes:
    """A query in blue and what was found, best first, rows of `columns`, with captions."""
    from PIL import Image, ImageDraw

    first = framed(query, BLUE)
    tall, wide = first.shape[:2]
    rows = -(-len(results) // columns)
    step, line = wide + 8, tall + 22
    sheet = Image.new(
        "RGB", (step * (1 + min(columns, len(results))) + 16, line * rows + 6), "white"
    )
    pen = ImageDraw.Draw(sheet)
    sheet.paste(Image.fromarray(first), (4, 18))
    pen.text((4, 4), name[: wide // 6], fill=BLUE)
    for i, ((image, hue), label) in enumerate(zip(results, labels, strict=True)):
        x, y = 16 + step * (1 + i % columns), line * (i // columns)
        sheet.paste(Image.fromarray(framed(image, hue)), (x, y + 18))
        pen.text((x, y + 4), f"{i + 1}: {label}", fill=(60, 60, 60))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def ranked_lists(source: Any, known: Any, more: Mapping[str, Any], count: int = 4) -> bytes:
    """The worst, two middling and the best valid query, with their first gallery shots."""
    ranking, q, g = more["ranking"], more["query"], more["gallery"]
    valid = np.flatnonzero(ranking.valid)
    order = valid[np.argsort(ranking.ap[valid], kind="stable")]
    picks = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]
    rows = []
    for i in picks:
        shot = q[i]
        results = []
        for at in ranking.order[i]:
            if at < 0:
                blank = np.full_like(source[int(shot)]["image"], 255)
                results.append((blank, (255, 255, 255)))
                continue
            right = known.pid[g[at]] == known.pid[shot]
            results.append((source[int(g[at])]["image"], GREEN if right else RED))
        rows.append(sheet(source[int(shot)]["image"], results))
        rows.append(np.full((8, rows[-1].shape[1], 3), 255, np.uint8))
    return png(np.concatenate(rows[:-1], 0))


def windows(source: Any, outputs: Mapping[str, Any], count: int = 3) -> bytes:
    """Shares of windows spread over the picture: bands down, scales across, per shot."""
    shares = outputs["shares"]
    picks = np.unique(np.linspace(0, len(source) - 1, count).astype(int))
    blocks = []
    for shot in picks:
        image = source[int(shot)]["image"]
        columns = [np.concatenate(list(image), 0)]
        for name in sorted(shares, key=lambda name: int(name.removeprefix("scale"))):
            heat = [
                overlay(band, shares[name][shot, m], int(name.removeprefix("scale")))
                for m, band in enumerate(image)
            ]
            columns.append(np.concatenate(heat, 0))
        gap = np.full((columns[0].shape[0], 4, 3), 255, np.uint8)
        blocks += [part for column in columns for part in (column, gap)]
        blocks.append(np.full((columns[0].shape[0], 14, 3), 255, np.uint8))
    return png(np.concatenate(blocks[:-1], 1))


def overlay(band: np.ndarray, share: np.ndarray, scale: int, grid=(16, 8)) -> np.ndarray:
    """A picture with the windows' shares as warmth, and the heaviest window framed."""
    import cv2

    h, w = band.shape[:2]
    stride = h // grid[0]
    grid = (h // stride, w // stride)
    size = [min(scale, side) for side in grid]
    starts = [
        list(range(0, side - s + 1, max(1, s // 2))) for side, s in zip(grid, size, strict=True)
    ]
    places = [(y, x) for y in starts[0] for x in starts[1]]
    if len(places) != len(share):
        return band
    if len(places) == 1:  # one window has no choice to show
        return band
    heat, cover = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
    for (y, x), value in zip(places, share, strict=True):
        heat[y : y + size[0], x : x + size[1]] += value
        cover[y : y + size[0], x : x + size[1]] += 1
    heat = heat / np.maximum(cover, 1)
    heat = np.clip(heat * len(share) / 2, 0, 1)  # attention that is the same everywhere: 0.5
    heat = cv2.resize(heat, (w, h), interpolation=cv2.INTER_LINEAR)
    warm = cv2.applyColorMap(np.round(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    out = np.round(0.5 * band + 0.5 * warm).astype(np.uint8)
    y, x = places[int(np.argmax(share))]
    corner = (x * stride, y * stride)
    far = ((x + size[1]) * stride - 1, (y + size[0]) * stride - 1)
    out = np.ascontiguousarray(out)
    cv2.rectangle(out, corner, far, (255, 255, 255), 1)
    return out
