"""From the files of a workdir to `report.md`, `figures/*.png` and `index.html`."""

import pathlib
from collections.abc import Mapping

from wxjax import files
from wxjax.report import cells, document, figures, page, tables
from wxjax.report import evidence as evidences


def build(workdir: pathlib.Path | str) -> None:
    """Writes the report of a run from what its workdir holds; runs no network.

    Reads `summary.json`, `per_image.jsonl`, `cost.json`, every `metrics.jsonl` below,
    and `samples/`. What is missing is named in the report, never filled in. Every
    file appears complete or not at all.

    Raises:
      InputError: where `workdir` is no folder, or a file in it is broken.
    """
    workdir = pathlib.Path(workdir)
    evidence = evidences.read(workdir)
    available = figures.available(evidence)
    plots = document.draw(workdir, available)
    wide = [name for name, (*_, size) in available.items() if size[0] > figures.SIZE[0]]
    captions = {name: plot.caption for name, plot in plots.items()}
    files.write_text(workdir / "report.md", text(evidence, captions))
    files.write_text(workdir / "index.html", page.page(evidence, plots, wide))


def text(evidence: evidences.Evidence, captions: Mapping[str, str]) -> str:
    """The Markdown report; `captions` name the figures that were drawn."""
    summary = evidence.summary or {}
    lines = [f"# {summary.get('model', 'Report of a run')}\n"]
    shown: list[cells.Table | None] = []
    if summary:
        shown = [
            tables.criteria(summary) if summary["criteria"] else None,
            tables.main(summary), *tables.per_task(summary),
            *tables.apart(summary), tables.routing(summary), tables.confusion(summary),
            tables.experts(summary),
            *tables.comparisons(summary), tables.budget(summary),
        ]  # fmt: skip
    shown += tables.cost(evidence.cost)
    if summary:
        shown.append(tables.provenance(summary))
    lines += [cells.markdown(table) for table in shown if table is not None]
    if captions:
        lines.append("## Figures\n")
        lines += [f"![{text}](figures/{name}.png)\n\n{text}\n" for name, text in captions.items()]
    if evidence.missing:
        lines.append("## Not in this report\n")
        lines.append("\n".join(f"- {line}" for line in evidence.missing) + "\n")
    return "\n".join(lines)
