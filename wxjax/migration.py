"""Configs of older runs as they would be written today.

Numbers do not change: what a run had no word for gets the value that was built in then.
"""

from typing import Any


def migrate(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored config as of today; one of today is returned as it is."""
    config = dict(stored)
    # Until the plug, a recipe said what a run does: two of moei's are systems now.
    recipe = config.pop("recipe", None)
    if recipe == "single" and config.get("system") == "moei":
        config["system"] = "dehazexl"
    if recipe == "weather":
        config |= {"system": "weather", "stage": "system"}
        config["stages"] = {**config["stages"], "joint": config.pop("train")}
    return config
