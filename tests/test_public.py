"""What is public: the names that ``driftproof`` and its public packages list; all else stands behind an underscore."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SOURCE = TOP / "src" / "driftproof"
ROOMS = sorted(
    path.stem if path.suffix else path.name
    for path in SOURCE.iterdir()
    if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").is_file())
)


def names(room: str) -> list[str]:
    listed: list[str] = import_module(f"driftproof.{room}" if room else "driftproof").__all__
    return listed


def code_of(path: Path) -> list[str]:
    """Return the Python code of a file: all of it, or the blocks of a page."""
    text = path.read_text(encoding="utf-8")
    return [text] if path.suffix == ".py" else re.findall(r"```python\n(.*?)```", text, re.DOTALL)


SHOWN = [
    TOP / "README.md",
    *sorted((TOP / "docs").rglob("*.md")),
    *sorted((TOP / "experiments").rglob("*.py")),
    *sorted((TOP / "experiments").rglob("*.md")),
]


@pytest.mark.parametrize("path", SHOWN, ids=lambda p: str(p.relative_to(TOP)))
def test_what_users_read_imports_public_names_only(path: Path) -> None:
    for code in code_of(path):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "driftproof":
                        assert "._" not in alias.name, alias.name
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "driftproof":
                room = (node.module or "").partition(".")[2]
                for alias in node.names:
                    assert alias.name in [*names(room), *(() if room else ROOMS)], f"from {node.module}: {alias.name}"
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dp":
                assert node.attr in [*names(""), *ROOMS], f"dp.{node.attr}"


def test_every_module_is_public_on_purpose() -> None:
    """A public package holds private modules only: its names stand in its list."""
    for path in SOURCE.rglob("*.py"):
        inside = path.relative_to(SOURCE).with_suffix("").parts
        if inside[-1] == "__init__":
            inside = inside[:-1]
        private = any(part.startswith("_") for part in inside)
        assert private or len(inside) <= 1, path
        if not private:
            assert names(".".join(inside)), path


def test_public_names_are_few_and_there() -> None:
    listed: dict[str, object] = {}
    for room in ("", *ROOMS):
        module = import_module(f"driftproof.{room}" if room else "driftproof")
        for name in names(room):
            thing = getattr(module, name)
            assert listed.setdefault(name, thing) is thing, f"{name} is two things"
    assert 60 <= len(listed) <= 145, len(listed)
