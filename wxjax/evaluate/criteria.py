"""The success criteria of a run: value, 95 % interval, met or short, each decided in the open."""

from collections.abc import Mapping

Estimate = Mapping[str, float | int | None]

MACRO_GAIN = 3.0  # dB over the input, the project's own acceptance
TASK_GAIN = 1.5  # dB over the input, each task
ROUTER_ACCURACY = 0.95  # on the degradation label
ECE = 0.03
ABSTENTION = 0.10
GAP = 0.3  # dB; the plan says 0.2 to 0.3
NEARNESS = 0.90
MISROUTE_DROP = 0.2  # dB at 10 % forced errors
LATENCY = 0.05  # over Dense-Unified at 4K


def decide(summary: Mapping, cost: Mapping | None) -> list[dict]:
    """Every criterion as {name, threshold, unit, value, low, high, met, note}.

    `met` judges the value alone; where its interval reaches across the threshold
    the note says so. `met` is None for what was not measured.
    """
    return [
        *_against_dense(summary), _oracle(summary.get("moe") or {}),
        *_router(summary.get("moe") or {}), _misrouting(summary), _latency(cost),
        *_gains(summary),
    ]  # fmt: skip


def criterion(
    name: str,
    bound: float | int,
    estimate: Estimate | None,
    *,
    above: bool,
    unit: str = "",
    strict: bool = False,
    note: str = "",
) -> dict:
    """One line of the table; `estimate` holds value, low, high (value None: not measured)."""
    value, low, high = (
        None if estimate is None else estimate.get(k) for k in ("value", "low", "high")
    )
    sign = (">" if strict else "≥") if above else ("<" if strict else "≤")
    shown = f"{100 * bound:g} %" if unit == "%" else f"{bound:g} {unit}".strip()
    met = None
    if value is not None:
        beyond = value > bound if above else value < bound
        met = bool(beyond or (value == bound and not strict))
        if low is not None and low < bound < high:
            note = f"{note}; the interval reaches across the threshold".removeprefix("; ")
    return {
        "name": name, "threshold": f"{sign} {shown}", "unit": unit, "value": value, "low": low,
        "high": high, "met": met, "note": note if value is not None or note else "not measured",
    }  # fmt: skip


def _against_dense(summary: Mapping) -> list[dict]:
    macro = summary["comparisons"].get("actual-dense", {}).get("macro", {})
    names = {
        "psnr": ("PSNR", "dB"), "ssim": ("SSIM", ""), "lpips": ("LPIPS", ""),
        "hmean_psnr_nlpips": ("H-Mean", ""),
    }  # fmt: skip
    lines = []
    for metric, (title, unit) in names.items():
        name = f"Macro {title}: Actual − Dense"
        note = "lower is better" if metric == "lpips" else ""
        above = metric != "lpips"
        value = _difference(macro.get(metric))
        lines.append(criterion(name, 0.0, value, above=above, unit=unit, note=note))
    return lines


def _oracle(moe: Mapping) -> dict:
    gap, nearness = moe.get("oracle_gap_psnr"), moe.get("nearness")
    interval = moe.get("oracle_gap_psnr_interval") or (None, None)
    value = {"value": gap, "low": interval[0], "high": interval[1]}
    near = "undefined (no headroom)" if nearness is None else f"{100 * nearness:.0f} %"
    note = f"nearness {near}" if gap is not None else "not measured: needs every expert and dense"
    line = criterion("Oracle-Gap, or nearness to the Oracle", GAP, value, above=False, unit="dB",
                     note=note)  # fmt: skip
    line["threshold"] = f"≤ {GAP} dB or ≥ {100 * NEARNESS:.0f} %"
    if gap is not None:
        line["met"] = bool(line["met"] or (nearness is not None and nearness >= NEARNESS))
    return line


def _router(moe: Mapping) -> list[dict]:
    label = moe.get("ece_label")
    against = f"against the {label} label; a small sample raises it" if label else ""
    return [
        criterion("Router ECE", ECE, _stored(moe, "router_ece"), above=False, note=against),
        criterion("Abstention rate", ABSTENTION, _stored(moe, "abstain_rate"), above=False,
                  unit="%"),
        criterion("Router accuracy on the degradation label", ROUTER_ACCURACY,
                  _stored(moe, "accuracy_degradation"), above=True, unit="%"),
    ]  # fmt: skip


def _misrouting(summary: Mapping) -> dict:
    rows = summary["curves"].get("misrouting") or []
    found = next((r for r in rows if r["abstention"] and abs(r["rate"] - 0.1) < 1e-9), None)
    estimate, note = None, "not measured: needs every expert and dense"
    if found:
        estimate = {"value": found["drop"], "low": found["drop_low"], "high": found["drop_high"]}
        note = "with abstention; the interval is over random draws of the errors"
    name = "Macro PSNR lost at 10 % forced mis-routing"
    return criterion(name, MISROUTE_DROP, estimate, above=False, unit="dB", strict=True, note=note)


def _latency(cost: Mapping | None) -> dict:
    overhead = (cost or {}).get("overhead") or {}
    ratio = overhead.get("actual_over_dense")
    name = "Latency at 4K over Dense-Unified"
    if ratio is None:
        note = "not measured: run wxjax bench"
        return criterion(name, LATENCY, None, above=False, unit="%", note=note)
    value = ratio["median"] if isinstance(ratio, Mapping) else ratio
    ends = [ratio.get(k) for k in ("low", "high")] if isinstance(ratio, Mapping) else [None, None]
    low, high = (None if end is None else end - 1 for end in ends)
    note = f"on {cost.get('device', 'an unnamed device')}"
    if sizes := {tuple(c["size"]) for c in cost.get("cases") or [] if c.get("size")}:
        largest = max(sizes, key=lambda size: size[0] * size[1])
        note += f"; largest case {'x'.join(map(str, largest))}"
        if largest[0] * largest[1] < 2160 * 3840:
            note += ", not 4K"
    estimate = {"value": value - 1, "low": low, "high": high}
    return criterion(name, LATENCY, estimate, above=False, unit="%", note=note)


def _gains(summary: Mapping) -> list[dict]:
    entry = summary["comparisons"].get("actual-input") or {"macro": {}, "tasks": {}}
    name = "Macro PSNR gain over the input"
    value = _difference(entry["macro"].get("psnr"))
    lines = [criterion(name, MACRO_GAIN, value, above=True, unit="dB")]
    for task in summary["tasks"]:
        value = _difference(entry["tasks"].get(task, {}).get("psnr"))
        title = f"PSNR gain over the input, {task}"
        lines.append(criterion(title, TASK_GAIN, value, above=True, unit="dB"))
    return lines


def _difference(stats: Mapping | None) -> Estimate | None:
    return stats and {"value": stats["difference"], "low": stats["low"], "high": stats["high"]}


def _stored(moe: Mapping, key: str) -> Estimate:
    low, high = moe.get(f"{key}_interval") or (None, None)
    return {"value": moe.get(key), "low": low, "high": high}
