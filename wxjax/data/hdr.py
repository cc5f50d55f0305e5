"""HDR10: the colours and light of the display a film was mastered on, and its light levels."""

from typing import Any, NamedTuple

import numpy as np


class Light(NamedTuple):
    """HDR10 side data, as the film states it; empty where it does not.

    Attributes:
      display: x and y of red, green, blue and white in units of 1/50000, then the least and
        the most light in units of 1/10000 cd/m2.
      levels: MaxCLL and MaxFALL, in cd/m2.
    """

    display: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()

    def mastering(self) -> str:
        """`G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`, as x264, x265 and SVT-AV1 take it."""
        if not self.display:
            return ""
        rx, ry, gx, gy, bx, by, wx, wy, least, most = self.display
        return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"


def light(frame: Any) -> Light:
    """What a decoded frame says (FFmpeg's AVMasteringDisplayMetadata, AVContentLightMetadata)."""
    found = {item.type.name: bytes(item) for item in frame.side_data}
    display: tuple[int, ...] = ()
    data = np.frombuffer(found.get("MASTERING_DISPLAY_METADATA", b""), np.int32)
    if data.size >= 22 and data[20] and data[21]:  # has primaries, has luminance
        values = data[0:20:2] / np.maximum(data[1:20:2], 1)
        display = tuple(np.rint(values * ([50000] * 8 + [10000] * 2)).astype(int).tolist())
    levels = np.frombuffer(found.get("CONTENT_LIGHT_LEVEL", b""), np.uint32)[:2].tolist()
    return Light(display, tuple(levels) if any(levels) else ())
