"""The table of kinds as a page: `python -m wxjax.data.formats.table > docs/files.md`."""

import numpy as np

from wxjax.data import passed
from wxjax.data.formats import kinds
from wxjax.data.formats.kinds import Kind

_DEPTHS = {np.dtype(np.uint8): "8", np.dtype(np.uint16): "16", np.dtype(np.float32): "float"}
_HEAD = """\
# Kinds of picture

Made by `python -m wxjax.data.formats.table` from `wxjax/data/formats/kinds.py`; a test checks.

Every command reads these kinds: restore, plan, prepare, evaluate, training, search, views.
A file is known by its bytes, not by its name.
A kind whose decoder has no wheel for a machine is missing there, from every list.
"""
_RULES = """\
## What happens to a picture

- Where no pixel changes, the file is copied byte for byte.
- A turned file, and one written as another kind, is written anew.
- EXIF orientation of any integer type is applied to the pixels and set to 1, in EXIF and XMP.
- Previews show the picture before. They go.
- They are looked for in EXIF, XMP, JFIF, Photoshop's resources and text chunks.
- `Software` says `wxjax VERSION`.
- A gain map goes, with the XMP that announces it. The film of a motion photo stays.
- An output four times as large has sizes, resolutions, ground scale and tie points to match.
- Every page of a TIFF is restored. Overviews and masks go.
- An animation is refused in one line. Make a film of it first.
- What is lost stands in the record, and once a run on stderr as `lost: ...`.

## Colours

- A model sees sRGB.
- Profiles, CICP numbers, gAMA with cHRM, and a camera's mark for Adobe RGB are converted.
- The change a model makes is applied in the picture's own space.
- A colour beyond sRGB keeps what the model cannot see.
- A CMYK profile, or one without a way back, is kept and not applied. The record says so.
- PQ and HLG are refused in one line. Convert them to standard range first.
- 16 bits stay 16 bits; 10 and 12 bits of AVIF stay what they are.

## Floats

- Within 0 to 1 a float TIFF is taken as it is.
- Beyond, its least and greatest value are black and white.
- The answer is scaled back by the same rule.
- GDAL's nodata stays as it is and has no part in the range.
- Other NaN and infinite values are refused.
- OpenEXR, and float JPEG XL marked as linear, are light.
- White is 1, or the 99.9th percentile where that is more.

## Folders

- A folder is mirrored. What is passed over is named once at the end:
  `left out: 3 .dng, 1 .psd (not read here)`.
- Names that begin with a dot and notes are quiet: """


def row(kind: Kind) -> str:
    """One line of the table."""
    written = kind.writes if kind.writes != kind.name else "itself"
    depths = ", ".join(_DEPTHS[depth] for depth in kind.depths) or "-"
    cells = (kind.name, " ".join(kind.suffixes), written, depths, kind.how, kind.kept, kind.lost)
    return f"| {' | '.join(cells)} |"


def markdown() -> str:
    """The whole page."""
    words = " ".join(sorted(word for word in kinds.FORMATS))
    lines = [
        _HEAD,
        "| kind | endings | written as | bits | how changed pixels are written | kept | left out |",
        "|---|---|---|---|---|---|---|",
        *map(row, kinds.KINDS),
        "",
        f"`--format=` takes: {words}.",
        "Another kind gets EXIF, XMP and profile as far as it holds them.",
        "",
        _RULES + " ".join(sorted(passed.NOTES)) + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
