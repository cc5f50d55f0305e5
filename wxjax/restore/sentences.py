"""What was done to a picture, in a person's words."""

from collections.abc import Mapping
from typing import Any

WEATHER = {"dehaze": "haze", "derain": "rain", "desnow": "snow"}


def sentence(name: str, record: Mapping[str, Any]) -> str | None:
    """A line about a picture from its record; None where no router chose anything.

    For example 'photo.jpg: rain, 0.94 sure, cleaned in 3.1 s', or 'photo.jpg: left as it
    was: no weather found, 0.98 sure'.
    """
    said = record.get("restoration", {})
    if "changed" not in said:
        return None
    sure = f"{said['pmax']:.2f} sure"
    if not said["changed"]:
        return f"{name}: left as it was: no weather found, {sure}"
    seconds = f"in {record['seconds']:.1f} s"
    weather = WEATHER.get(said["route"])
    if said.get("forced"):
        return f"{name}: {said['route']} as asked, {seconds}"
    if weather is None:
        return f"{name}: weather of no one kind ({sure} at most), cleaned {seconds}"
    return f"{name}: {weather}, {sure}, cleaned {seconds}"
