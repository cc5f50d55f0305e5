"""One HTML page that shows a baked day under an hour slider; it needs nothing but itself."""

import base64
import html
import json
import pathlib
import zlib
from typing import Any

import numpy as np

from wxjax import files
from wxjax.report import document as documents

STYLE = """
header { display: none; }
.day { max-width: 1080px; margin: 0 auto; padding: 24px; }
.day canvas { width: 100%; border-radius: 10px; background: #000; image-rendering: auto; }
.day .bar { display: flex; gap: 16px; align-items: center; margin: 12px 0 0; }
.day input { flex: 1; accent-color: var(--accent); }
.day output { font: 600 1.4rem/1 var(--serif); min-width: 5.5ch; text-align: right; }
.day button { font: inherit; padding: 6px 16px; border-radius: 8px; border: 1px solid var(--line);
  background: var(--card); color: var(--ink); cursor: pointer; }
"""


def document(basis: Any, title: str, note: str = "") -> str:
    """The page of a basis (`hours, coefficients, codes, scales, period`)."""
    rank, height, width, _ = basis.codes.shape
    planes = np.ascontiguousarray(np.moveaxis(basis.codes, 3, 1)).tobytes()
    day = {
        "width": width,
        "height": height,
        "period": basis.period,
        "hours": np.round(np.float64(basis.hours), 4).tolist(),
        "coefficients": np.float64(basis.coefficients).tolist(),
        "scales": np.float64(basis.scales).tolist(),
        "codes": base64.b64encode(zlib.compress(planes, 9)).decode(),
    }
    label = "Hour of the day" if basis.period == 24 else "Day of the year"
    step = basis.period / 288
    words = html.escape(title)
    view = (
        f"<div class='day'><h1>{words}</h1>"
        f'<p class="soft">{html.escape(note)}</p>'
        f'<canvas width="{width}" height="{height}" role="img" aria-label="The view"></canvas>'
        f'<div class="bar"><button type="button">Play</button>'
        f'<input type="range" min="0" max="{basis.period - step:g}" step="{step:g}" '
        f'value="{basis.period / 2:g}" aria-label="{label}" autocomplete="off">'
        "<output></output></div></div>"
        f'<script id="day" type="application/json">{json.dumps(day)}</script>'
    )
    script = documents.asset("day.js", "wxjax.systems.tod")
    sections = [documents.Section("view", "", view)]
    return documents.document(title, sections, head=" ", style=STYLE, script=script)


def write(path: pathlib.Path, basis: Any, title: str, note: str = "") -> None:
    files.write_text(path, document(basis, title, note))
