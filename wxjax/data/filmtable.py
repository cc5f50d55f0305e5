"""docs/files_films.md, from the tables that the program itself works by.

python -m wxjax.data.filmtable > docs/files_films.md
"""

from wxjax.data import containers, encoders, fields, sounds

_HEAD = """# Films: what is read, written, kept and lost

Made by `python -m wxjax.data.filmtable` from the tables that the program works by.
A test keeps both equal and tries every entry.

What one film loses or changes stands in its record (`notes`, `lost`) and on stderr.
"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def files() -> str:
    """Endings, and what such a file may lose."""
    rows = [
        (f"`{ending}`", kind.name, f"`{kind.written}`", kind.lost)
        for ending, kind in containers.KINDS.items()
    ]
    return table(("read", "kind", "written", "lost"), rows)


def features() -> str:
    """What each container keeps that is written."""
    kinds = {kind.written: kind for kind in containers.KINDS.values() if kind.written != ".m4v"}
    rows = [
        (text, *("yes" if name in kind.kept else "" for kind in kinds.values()))
        for name, text in containers.FEATURES.items()
    ]
    return table(("", *(f"`{ending}`" for ending in kinds)), rows)


def codecs() -> str:
    """The choices of `--codec`."""
    rows = [
        (f"`{name}`", ", ".join(codec.encoders), codec.quality or "lossless",
         f"{codec.sides[0]} to {codec.sides[1]}", f"`{codec.home}`")
        for name, codec in encoders.CODECS.items()
    ]  # fmt: skip
    return table(("`--codec=`", "encoder", "quality", "pixels a side", "else written as"), rows)


def sound() -> str:
    """What a sound becomes that its container cannot hold."""
    names = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}
    rows = [
        (f"`{names[muxer]}`", ", ".join(exact) or "none", ", ".join(lossy))
        for muxer, (exact, lossy) in sounds.CHOICES.items()
    ]
    return table(("container", "from lossless sound", "from lossy sound"), rows)


def markdown() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## Files\n",
        files(),
        "\n## Kept, by the container that is written\n",
        features(),
        "\nRotation and mirroring are applied to the pixels, once. "
        f"Interlaced films are deinterlaced with FFmpeg's {fields.NAME}. "
        "Broadcasts begin at time 0. A second picture track is copied as it is.\n",
        "## Pictures\n",
        "By default lossless films stay lossless: in their own codec where it is in the table and "
        "the container holds it, else in FFV1. ProRes, DNxHD and CineForm become ProRes, with "
        "alpha and 4:4:4. HEVC, and 10 bits of another codec than H.264, become HEVC. "
        "WebM has VP9, AV1 at 10 bits. All else is H.264. "
        "A frame that the model leaves as it is keeps its samples bit for bit before encoding.\n",
        codecs(),
        "\n## Sound that the container cannot hold\n",
        "It is transcoded, the first that fits, and said. All other sound is copied.\n",
        sound(),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
