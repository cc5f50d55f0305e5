"""The tables of a report: numbers of `summary.json` and `cost.json` as text, nothing computed."""

from collections.abc import Mapping

from wxjax.report.cells import (
    NONE,
    Cell,
    Table,
    estimate,
    flat,
    number,
    plain,
    significant,
    title,
)

VARIANTS = {
    "input": "Input",
    "dense": "Dense-Unified",
    "dehaze": "Expert dehaze",
    "derain": "Expert derain",
    "desnow": "Expert desnow",
    "actual": "MoE-I-Actual",
    "top2": "Top-2 mix",
    "oracle": "Oracle, experts",
    "oracle_dense": "Oracle, experts and dense",
}
METRICS = {
    "psnr": ("PSNR dB ↑", 2),
    "ssim": ("SSIM ↑", 4),
    "lpips": ("LPIPS ↓", 4),
    "hmean_psnr_nlpips": ("H-Mean ↑", 4),
}
PAIRS = {
    "actual-dense": "MoE-I-Actual − Dense-Unified",
    "dense-input": "Dense-Unified − Input",
    "actual-input": "MoE-I-Actual − Input",
}


def criteria(summary: Mapping) -> Table:
    """Each success criterion with value, interval, and whether it is met."""
    words = {True: Cell("met", tone="met"), False: Cell("short", tone="short")}
    rows = [
        (
            Cell(item["name"]),
            Cell(item["threshold"]),
            _criterion_value(item),
            words.get(item["met"], Cell("not measured", tone="open")),
            Cell(item["note"]),
        )
        for item in summary["criteria"]
    ]
    return Table("Success criteria", ("Criterion", "Threshold", "Value", "Verdict", "Note"), rows)


def _criterion_value(item: Mapping) -> Cell:
    percent = item.get("unit") == "%"
    scale, digits = (100, 1) if percent else (1, 3)
    suffix = f" {item['unit']}" if item.get("unit") else ""
    if item["value"] is None:
        return Cell(NONE)
    scaled = {k: None if item[k] is None else scale * item[k] for k in ("value", "low", "high")}
    cell = estimate(scaled, digits, "value")
    return cell._replace(text=cell.text + suffix)


def main(summary: Mapping) -> Table:
    """Macro of every variant; the best of those that need no truth is marked."""
    variants = summary["variants"]
    rows = _variant_rows({name: entry["macro"] for name, entry in variants.items()})
    tasks = ", ".join(f"{name} {n}" for name, n in summary["tasks"].items())
    note = f"Macro: mean over the tasks of the task means; {summary['n']} images ({tasks})."
    return Table("Main table (Macro)", _metric_header("Variant"), rows, note)


def per_task(summary: Mapping) -> list[Table]:
    """One table a degradation, with the same rows as the main table."""
    tables = []
    for name, n in summary["tasks"].items():
        entries = {v: entry["tasks"].get(name, {}) for v, entry in summary["variants"].items()}
        caption = f"{name.capitalize()} ({n} images)"
        tables.append(Table(caption, _metric_header("Variant"), _variant_rows(entries)))
    return tables


def apart(summary: Mapping) -> list[Table]:
    """Images outside the three tasks (mixed, unlabelled), never part of a Macro."""
    tables = []
    for name, part in summary.get("apart", {}).items():
        entries = {v: entry["macro"] for v, entry in part["variants"].items()}
        usage = ", ".join(f"{k} {100 * v:.0f} %" for k, v in (part.get("usage") or {}).items())
        note = "Outside the main table." + (f" Routed to: {usage}." if usage else "")
        caption = f"Apart: {name} ({part['n']} images)"
        tables.append(Table(caption, _metric_header("Variant"), _variant_rows(entries), note))
    return tables


def _metric_header(first: str) -> tuple[str, ...]:
    return (first, *(name for name, _ in METRICS.values()))


def _variant_rows(entries: Mapping[str, Mapping]) -> list[list[Cell]]:
    ordered = [name for name in VARIANTS if name in entries]
    fair = [name for name in ordered if not name.startswith("oracle")]
    winners = {}
    for metric in METRICS:
        means = {v: (entries[v].get(metric) or {}).get("mean") for v in fair}
        means = {v: x for v, x in means.items() if x is not None}
        if len(means) > 1:
            choose = min if metric == "lpips" else max
            winners[metric] = choose(means, key=means.get)
    return [
        [Cell(label(name, entries), tone="actual" if name == "actual" else "")]
        + [
            estimate(entries[name].get(m), d, tone="best" if winners.get(m) == name else "")
            for m, (_, d) in METRICS.items()
        ]
        for name in ordered
    ]


def label(name: str, entries: Mapping) -> str:
    """A variant in words; a network without a router is no Dense-Unified beside experts."""
    alone = name == "dense" and not any(other in entries for other in ("actual", "dehaze"))
    return "Restored" if alone else VARIANTS[name]


def comparisons(summary: Mapping) -> list[Table]:
    """Paired differences with interval, p-values and effect size."""
    header = ("Scope", "Metric", "Difference", "t-test p", "Wilcoxon p", "Cohen's d", "n")
    tables = []
    for pair, caption in PAIRS.items():
        entry = summary.get("comparisons", {}).get(pair)
        if not entry:
            continue
        if pair == "dense-input":
            caption = f"{label('dense', summary['variants'])} − Input"
        scopes = {"Macro": entry["macro"]} | {k.capitalize(): v for k, v in entry["tasks"].items()}
        rows = [
            (
                Cell(scope),
                Cell(METRICS[metric][0]),
                estimate(stats, METRICS[metric][1], "difference"),
                Cell(_probability(stats["t_p"])),
                Cell(_probability(stats["wilcoxon_p"])),
                Cell(number(stats["cohens_d"])),
                Cell(str(stats["n"])),
            )
            for scope, metrics in scopes.items()
            for metric, stats in metrics.items()
            if metric in METRICS
        ]
        tables.append(Table(caption, header, rows))
    return tables


def _probability(p: float | int | None) -> str:
    return "< 0.0001" if p is not None and p < 1e-4 else number(p, 4)


def routing(summary: Mapping) -> Table | None:
    """What the router did: calibration, accuracy, abstention, usage."""
    moe = summary.get("moe")
    if not moe:
        return None
    shown = {
        "router_ece": ("ECE, 15 equal bins", 4), "ece_adaptive": ("ECE, adaptive bins", 4),
        "brier": ("Brier score", 4), "nll": ("Negative log-likelihood, nats", 4),
        "accuracy_degradation": ("Accuracy on degradation label", 4),
        "accuracy_oracle": ("Accuracy on Oracle label", 4),
        "abstain_rate": ("Abstention rate", 4), "mean_entropy": ("Mean entropy of p, nats", 4),
        "headroom_psnr": ("Oracle headroom over dense, dB", 3),
        "oracle_gap_psnr": ("Oracle-Gap, dB", 3), "nearness": ("Nearness to the Oracle", 3),
    }  # fmt: skip
    rows = [
        (Cell(name), Cell(number(moe[key], digits)))
        for key, (name, digits) in shown.items()
        if key in moe
    ]
    usage = ", ".join(f"{k} {100 * v:.1f} %" for k, v in (moe.get("usage") or {}).items())
    label = moe.get("ece_label")
    note = f"Usage: {usage}." if usage else ""
    note += f" ECE, Brier and likelihood against the {label} label." if label else ""
    return Table("Router", ("Quantity", "Value"), rows, note.strip())


def confusion(summary: Mapping) -> Table | None:
    """Images by degradation (rows) and route (columns)."""
    data = summary.get("curves", {}).get("confusion")
    if not data:
        return None
    rows = [
        [Cell(name.capitalize()), *(Cell(str(count)) for count in counts)]
        for name, counts in zip(data["degradations"], data["counts"], strict=True)
    ]
    return Table("Routes by degradation", ("Degradation", *data["routes"]), rows)


def experts(summary: Mapping) -> Table | None:
    """What a gate over tokens did with each degradation, mean over blocks."""
    found = summary.get("experts")
    if not found:
        return None
    mean = lambda rows: [sum(column) / len(column) for column in zip(*rows, strict=True)]
    usage = {kind: mean(entry["usage"]) for kind, entry in found.items()}
    header = ("Weather", *(f"Expert {i}" for i in range(len(next(iter(usage.values()))))), "Kept")
    rows = [
        [
            Cell(f"{kind.capitalize()} ({entry['images']})"),
            *(Cell(number(weight, 3)) for weight in usage[kind]),
            Cell(number(sum(entry["count"]) / len(entry["count"]))),
        ]
        for kind, entry in found.items()
    ]
    note = "Mean weight over tokens, blocks and images; kept: experts a token uses."
    return Table("Expert usage by weather", header, rows, note)


def budget(summary: Mapping) -> Table | None:
    """Image presentations a stage, so that a reader sees whether dense got its share."""
    entries = summary.get("budget")
    if not entries:
        return None
    rows = [(Cell(title(name)), Cell(plain(value))) for name, value in flat(entries)]
    return Table("Training budget", ("Quantity", "Value"), rows)


def cost(measured: Mapping | None) -> list[Table]:
    """Whatever cases and overheads `cost.json` holds, in its own words."""
    if not measured:
        return []
    tables = []
    cases = measured.get("cases") or []
    keys = list(dict.fromkeys(k for case in cases for k in case if k not in ("name", "size")))
    if cases:
        rows = [
            [
                Cell(str(case.get("name", NONE))),
                Cell(" × ".join(map(str, case.get("size", []))) or NONE),
                *(_cost_cell(case.get(key)) for key in keys),
            ]
            for case in cases
        ]
        header = ("Case", "Size", *(title(key) for key in keys))
        tables.append(
            Table("Cost", header, rows, f"Device: {measured.get('device', 'not named')}.")
        )
    rest = {k: v for k, v in measured.items() if k not in ("cases", "device")}
    rows = [(Cell(title(name)), Cell(plain(value))) for name, value in flat(rest)]
    if rows:
        tables.append(Table("Cost, further", ("Quantity", "Value"), rows))
    return tables


def provenance(summary: Mapping) -> Table:
    """What made these numbers."""
    keys = (
        "model", "backbone", "track", "protocol", "version", "commit", "weights_hash", "seed",
        "data_hash",
    )  # fmt: skip
    entries = {k: summary.get(k) for k in keys} | dict(flat(summary.get("settings") or {}))
    entries |= dict(flat(summary.get("meta") or {}))
    rows = [(Cell(title(k)), Cell(plain(v))) for k, v in entries.items()]
    return Table("Provenance", ("Quantity", "Value"), rows)


def _cost_cell(value: object) -> Cell:
    if isinstance(value, Mapping) and "median" in value:
        low, high = value.get("low"), value.get("high")
        interval = "" if low is None else f"{significant(low)} to {significant(high)}"
        runs = f", n {value['n']}" if "n" in value else ""
        return Cell(significant(value["median"]), interval + runs)
    return Cell(plain(value))
