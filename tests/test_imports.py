"""Imports run one way, and never from a package's `__init__`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "modelyard"
ORDER = [
    "core",
    "spec",
    "data",
    "models",
    "tasks",
    "bundle",
    "evaluate",
    "report",
    "train",
    "board",
    "terminal",
    "cli",
    "__main__",
]
FILES = sorted(ROOT.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def as_path(module: str) -> Path:
    return Path(*module.split("."))


def imports(path: Path) -> list[tuple[int, str, bool]]:
    """(line, module, inside a function) of every import of modelyard in a file, `if TYPE_CHECKING` blocks left out."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.ImportFrom) and child.module:
                # `from package import module` names the module, like `import package.module`.
                submodules = [
                    n.name for n in child.names if (ROOT.parent / as_path(child.module) / f"{n.name}.py").exists()
                ]
                found.extend((child.lineno, f"{child.module}.{name}", inside) for name in submodules)
                if len(submodules) < len(child.names):
                    found.append((child.lineno, child.module, inside))
            elif isinstance(child, ast.Import):
                found.extend((child.lineno, name.name, inside) for name in child.names)
            visit(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(tree, False)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_its_own_room_and_those_on_its_left(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts == ("__init__",):
        return
    mine = ORDER.index(parts[0])
    for line, module, _ in imports(path):
        if module == "modelyard" or not module.startswith("modelyard."):
            continue
        assert ORDER.index(room(module)) <= mine, f"{path.name}:{line} imports {module}, which stands on its right"
        target = ROOT.parent / as_path(module)
        assert not target.is_dir(), f"{path.name}:{line} imports from the package {module}, not the defining module"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_hides_inside_a_function(path):
    hidden = [(line, module) for line, module, inside in imports(path) if inside]
    assert not hidden


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py" and p.parent != ROOT], ids=str)
def test_a_package_init_holds_only_a_docstring(path):
    body = ast.parse(path.read_text("utf-8")).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{path} does more than say what the room is for"


def test_tables_import_nothing_but_the_registry():
    for path in ROOT.rglob("table.py"):
        modules = {module for _, module, _ in imports(path)}
        assert modules <= {"__future__", "modelyard.core.registry"}, path


@pytest.mark.parametrize("heavy", ["torch", "pydantic", "pyarrow", "numpy", "rich"])
def test_importing_modelyard_and_asking_for_help_leaves_heavy_libraries_alone(heavy):
    code = (
        "import sys, modelyard, modelyard.cli\n"
        "try:\n    modelyard.cli.main(['-h'])\nexcept SystemExit as done:\n    assert done.code == 0\n"
        f"assert {heavy!r} not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "modelyard train" in result.stdout


def test_every_package_is_listed_for_installation():
    import tomllib

    listed = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py")}
    assert set(listed) == present | {"modelyard.recipes"}
