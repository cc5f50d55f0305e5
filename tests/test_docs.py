"""Documents name nothing that does not exist."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(p.relative_to(ROOT) for p in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
EXAMPLES = {"docs/adding_a_system.md": ("toy",)}  # names of a worked example
FOLDERS = ("wxjax", "configs", "tests", "experiments", "colab", "docs", ".ci")


def exists(name: str) -> bool:
    """Whether a path stands in the project, or below some folder of it."""
    if (ROOT / name).exists():
        return True
    return any(True for folder in FOLDERS for _ in (ROOT / folder).rglob(name.lstrip("/")))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_names_only_files_that_exist(page):
    text = (ROOT / page).read_text()
    names = set(re.findall(r"(?<![\w/.=*-])[\w./]*\w\.(?:py|ipynb)(?![\w(])", text))
    names |= set(re.findall(r"(?<![\w/.])wxjax/[\w./]*\w", text))
    words = EXAMPLES.get(str(page), ())
    missing = {n for n in names if not exists(n) and not any(word in n for word in words)}
    assert not missing, f"{page} names {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http", "mailto")):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
