"""One line a picture, as a person would say it."""

import pytest

from wxjax.restore.sentences import sentence


@pytest.mark.parametrize(
    "said, line",
    [
        (
            {"route": "derain", "pmax": 0.94, "changed": True},
            "a.jpg: rain, 0.94 sure, cleaned in 3.1 s",
        ),
        (
            {"route": "leave", "pmax": 0.98, "changed": False},
            "a.jpg: left as it was: no weather found, 0.98 sure",
        ),
        (
            {"route": "dense", "pmax": 0.4, "changed": True},
            "a.jpg: weather of no one kind (0.40 sure at most), cleaned in 3.1 s",
        ),
        (
            {"route": "dehaze", "pmax": 0.4, "changed": True, "forced": True},
            "a.jpg: dehaze as asked, in 3.1 s",
        ),
        ({"route": "identity"}, None),
    ],
)
def test_a_line_says_what_was_done(said, line):
    assert sentence("a.jpg", {"restoration": said, "seconds": 3.14}) == line
