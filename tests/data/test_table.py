"""docs/files.md is what the code says."""

import pathlib

from wxjax.data.formats import kinds, table

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "files.md"


def test_the_page_is_made_from_the_table():
    cure = "python -m wxjax.data.formats.table > docs/files.md"
    assert PAGE.read_text("utf-8") == table.markdown(), cure


def test_every_ending_and_format_is_on_the_page():
    page = PAGE.read_text("utf-8")
    for suffix in kinds.SUFFIXES:
        assert suffix in page
    for word in kinds.FORMATS:
        assert word in page
