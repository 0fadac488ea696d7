"""The import graph: modules in a strict order, so that each can be read, loaded and tested without those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "driftproof"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported(tree: ast.Module, known: Mapping[str, object]) -> set[str]:
    """Return the modules that are loaded with a module: not what only type checkers or single functions want."""
    found: set[str] = set()
    for node in _loaded(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else str(node.module) for name in whole}
    return found & known.keys()


def _loaded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _loaded(node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _loaded(node.body)
        else:
            yield node


def test_no_import_leads_back() -> None:
    known = modules()
    graph = {name: imported(ast.parse(path.read_text("utf-8")), known) - {name} for name, path in known.items()}
    assert sum(map(len, graph.values())) > 500  # the test sees the imports at all
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules
    assert len(order) == len(known)


def test_a_cycle_would_be_seen() -> None:
    sources = {"a": "import b", "b": "try:\n    from a import x\nexcept ImportError: ..."}
    graph = {name: imported(ast.parse(source), sources) for name, source in sources.items()}
    with pytest.raises(CycleError):
        list(TopologicalSorter(graph).static_order())
    harmless = "if TYPE_CHECKING:\n    import a\ndef f():\n    import a"
    assert imported(ast.parse(harmless), sources) == set()
