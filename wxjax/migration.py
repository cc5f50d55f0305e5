"""Configs of older runs as they would be written today.

Numbers do not change: what a run had no word for gets the value that was built in then.
"""

from typing import Any


def migrate(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored config as of today; one of today is returned as it is."""
    config = dict(stored)
    # Until the plug, a recipe said what a run does: DehazeXL alone was one of moei's.
    recipe = config.pop("recipe", None)
    other = {"single": "dehazexl", "weather": "weather"}.get(recipe or "")
    if other and config.get("system") == "moei":
        config["system"] = other
    return config
