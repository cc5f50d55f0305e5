"""Imports point down, so that every layer can be read alone."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[1] / "wxjax"
LAYERS = (
    {"__init__", "errors", "files", "task", "mesh", "lock"},
    {"ops"},
    {"nn"},
    {"metrics"},
    {"losses"},
    {"data", "systems", "interop"},
    {"evaluate", "restore", "report"},
    {"train"},
    {"recipes"},
    {"settings", "commands", "main"},
)
# A loop is handed a Task; data, systems and interop meet only in arrays; a report reads files.
APART = [
    {"train", "systems"},
    {"evaluate", "systems"},
    {"restore", "systems"},
    {"data", "systems"},
    {"data", "interop"},
    {"interop", "systems"},
    {"report", "evaluate"},
    {"report", "restore"},
    {"report", "data"},
    {"report", "mesh"},
]


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def imported(path: pathlib.Path):
    """First component under wxjax of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "wxjax":
            yield from node.module.split(".")[1:2] or [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (name[1] for name in names if name[0] == "wxjax" and len(name) > 1)


def test_no_module_imports_upwards():
    for path in ROOT.rglob("*.py"):
        here = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for there in imported(path):
            if there.startswith("__"):
                continue
            assert layer(there) <= layer(here), f"{path} imports {there}"
            assert {here, there} not in APART, f"{path} imports {there}"


def test_no_system_imports_another():
    for path in (ROOT / "systems").rglob("*.py"):
        system = path.relative_to(ROOT / "systems").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "wxjax.systems."
            ):
                assert node.module.split(".")[2] == system, f"{path} imports {node.module}"


def test_data_stays_on_the_host():
    for path in (ROOT / "data").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not any((name or "").split(".")[0] in ("jax", "flax") for name in names), path
