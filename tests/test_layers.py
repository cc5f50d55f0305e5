"""Imports point down, so that every layer can be read alone."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[1] / "wxjax"
LAYERS = (
    {"__init__", "errors", "files", "task", "mesh", "lock", "command", "migration", "models"},
    {"systems/__init__"},
    {"overrides", "settings"},
    {"ops"},
    {"nn"},
    {"metrics"},
    {"losses"},
    {"data", "systems", "interop"},
    {"evaluate", "restore", "report"},
    {"train"},
    {"recipes"},
    {"plugs"},
    {"commands", "main"},
)
# What a file of a system may import, by what kind of file it is; the others are networks.
KINDS = {
    "plugs": ("system", "alone", "shipped", "films", "commands"),
    "recipes": (
        "recipe",
        "training",
        "scores",
        "cost",
        "variants",
        "search",
        "explanation",
        "studies",
        "rendering",
    ),
    "evaluate": ("measure", "basis", "rates"),
    "report": ("report", "figures", "sheets", "page"),
    "data": ("data",),
    "interop": ("clip", "resshift", "resshift_shapes", "published", "published_shapes"),
    "metrics": ("ranking", "lightmap", "temporal"),
    "nn": ("grids", "uncertainty"),
    "ops": ("sun", "timeline", "wavelet", "quantize", "motion", "resize"),
}
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
TRUNK = ("commands", "train", "restore", "evaluate", "report", "interop")


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def room(parts: list[str]) -> str:
    """What `LAYERS` calls the module `wxjax.<parts>`."""
    if parts[0] != "systems":
        return parts[0]
    if len(parts) == 1:
        return "systems/__init__"
    kind = parts[2] if parts[2:] else ""
    kind = "report" if parts[-1] == "report" else kind
    return next((name for name, files in KINDS.items() if kind in files), "systems")


def imported(path: pathlib.Path):
    """Room of every module under wxjax that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "wxjax":
            parts = node.module.split(".")[1:]
            for alias in node.names:
                deeper = ROOT.joinpath(*parts, alias.name)
                inside = deeper.is_dir() or deeper.with_suffix(".py").exists()
                if names := [*parts, alias.name] if inside else parts:
                    yield room(names)
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (room(name[1:]) for name in names if name[0] == "wxjax" and len(name) > 1)


def test_no_module_imports_upwards():
    for path in ROOT.rglob("*.py"):
        parts = [part.removesuffix(".py") for part in path.relative_to(ROOT).parts]
        here = room([part for part in parts if part != "__init__"] or ["__init__"])
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
                allowed = system, "weather"  # what moei and mofme share
                assert node.module.split(".")[2] in allowed, f"{path} imports {node.module}"


def test_data_and_reports_stay_on_the_host():
    for path in ROOT.rglob("*.py"):
        parts = [part.removesuffix(".py") for part in path.relative_to(ROOT).parts]
        if room(parts) not in ("data", "report"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not any((name or "").split(".")[0] in ("jax", "flax") for name in names), path


def test_the_trunk_compares_nothing_with_the_name_of_a_system():
    from wxjax.systems import SYSTEMS

    for path in (
        file for name in TRUNK for file in sorted((ROOT / name).rglob("*.py")) or [ROOT / name]
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = []
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
            if isinstance(node, ast.Dict):
                parts = node.keys
            if isinstance(node, ast.MatchValue):
                parts = [node.value]
            words = {
                leaf.value
                for part in parts
                for leaf in ast.walk(part or ast.Pass())
                if isinstance(leaf, ast.Constant)
            }
            assert not words & set(SYSTEMS), f"{path}:{node.lineno}"


def test_what_a_plug_names_is_there():
    from wxjax import systems

    for name in systems.SYSTEMS:
        system = systems.load(name)
        kinds = [late for kind in system.import_state.values() for late in kind]
        for entry in (*system, *system.weights.values(), *kinds):
            if isinstance(entry, systems.Late):
                assert entry.resolve() is not None, f"{name}: {entry}"


SHARED = ("ops", "nn", "metrics", "losses", "interop")
# Of moei and DehazeXL, whose folder is the last to be put together.
LEFT = {
    "interop.dehazexl", "interop.dehazexl_shapes", "metrics.calibration", "nn.adapter",
    "nn.hyper", "ops.moments",
}  # fmt: skip


def importers() -> dict[str, set[str]]:
    """Module under wxjax -> the modules that import it, or name it in a `Late`."""
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        here = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wxjax"):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.Constant) and str(node.value).startswith("wxjax."):
                names = [str(node.value).partition(":")[0]]
            for name in names:
                found.setdefault(name.removeprefix("wxjax."), set()).add(here)
    return found


def test_what_one_system_alone_needs_lies_in_its_folder():
    users = importers()

    def systems_of(module: str, seen: tuple[str, ...] = ()) -> set[str]:
        out: set[str] = set()
        for user in users.get(module, ()):
            if user.startswith("systems."):
                out.add(user.split(".")[1])
            elif user not in seen:
                out |= systems_of(user, (*seen, user)) or {user}
        return out

    alone = {
        f"{folder}.{path.stem}": found
        for folder in SHARED
        for path in (ROOT / folder).glob("*.py")
        if path.stem != "__init__" and len(found := systems_of(f"{folder}.{path.stem}")) == 1
        if next(iter(found)) in {p.name for p in (ROOT / "systems").iterdir()}
    }
    assert set(alone) <= LEFT, {name: found for name, found in alone.items() if name not in LEFT}


def test_modules_and_functions_stay_short():
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 70, f"{path}: {node.name}"
