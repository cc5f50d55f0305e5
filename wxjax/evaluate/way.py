"""How an image is streamed, and what gives when memory runs out."""

from typing import NamedTuple

from wxjax import errors


class Way(NamedTuple):
    """How an image is streamed.

    Attributes:
      batch: tiles at a time on each device.
      keep: whether the encoder's maps are kept between the passes.
    """

    batch: int
    keep: bool


class Crowded(Exception):
    """One tile at a time does not fit beside the maps that are kept."""


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the host or of the device."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def fewer(way: Way, error: Exception) -> Way:
    """Half the batch after an out-of-memory error; any other error is raised again.

    Raises:
      InputError: where one tile at a time is too much.
    """
    text = str(error)
    if not exhausted(error):
        raise error
    if way.batch == 1 and way.keep:
        raise Crowded from error
    if way.batch == 1:
        raise errors.InputError(
            f"out of memory with one tile at a time ({text.splitlines()[0] if text else 'host'}). "
            "Close other programs, or take a smaller --config.tiles.tile."
        ) from error
    return way._replace(batch=way.batch // 2)
