"""Numbers as text, and a table of them as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

NONE = "–"


class Cell(NamedTuple):
    """A number as text, its interval, and how it is to be marked ("met", "short", "best")."""

    text: str
    interval: str = ""
    tone: str = ""


class Table(NamedTuple):
    """A caption, column names, and rows whose first cell names the row."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def number(value: float | int | None, digits: int = 2) -> str:
    """Fixed digits with a true minus sign; a dash where there is no value."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def significant(value: float | int | None) -> str:
    """About three significant digits, without an exponent between 0.001 and a million."""
    if value is None:
        return NONE
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}".replace("-", "−").replace(",", " ")
    if magnitude and magnitude < 1e-3:
        return f"{value:.1e}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def estimate(stats: Mapping | None, digits: int, key: str = "mean", tone: str = "") -> Cell:
    """A mean with its interval from {key, "low", "high"}."""
    if not stats or stats.get(key) is None:
        return Cell(NONE)
    low, high = stats.get("low"), stats.get("high")
    interval = "" if low is None else f"{number(low, digits)} to {number(high, digits)}"
    return Cell(number(stats[key], digits), interval, tone)


def flat(tree: Mapping, prefix: str = "") -> Iterable[tuple[str, object]]:
    """Leaves of nested dicts with dotted names; lists of dicts are left out."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif not (isinstance(value, list) and value and isinstance(value[0], Mapping)):
            yield f"{prefix}{key}", value


def markdown(table: Table) -> str:
    """A pipe table under its caption."""

    def text(cell: Cell) -> str:
        words = f"{cell.text} [{cell.interval}]" if cell.interval else cell.text
        words = words.replace("|", "\\|").replace("\n", " ")
        return f"**{words}**" if cell.tone in ("met", "short", "best") else words

    align = ["---"] + ["---:" for _ in table.header[1:]]
    lines = [table.header, align, *([text(cell) for cell in row] for row in table.rows)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"\n\n{table.note}" if table.note else ""
    return f"### {table.caption}\n\n{body}{note}\n"


TITLES = {
    "flops_g": "GFLOP",
    "latency_ms": "Latency, ms",
    "ms_per_mp": "ms per megapixel",
    "peak_mem_gb": "Peak memory, GB",
    "mem_gb": "Memory, GB",
    "efficiency": "Share of the matmul rate",
    "matmul_gflops": "Matmul rate, GFLOP/s",
}


def title(key: str) -> str:
    """A key of a JSON file as words: "overhead.a_over_b" is "Overhead: a over b"."""
    words = TITLES.get(key) or key.replace("_", " ").replace(".", ": ")
    return words[:1].upper() + words[1:] if key not in TITLES else words


def plain(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ") if value >= 10_000 else str(value)
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
