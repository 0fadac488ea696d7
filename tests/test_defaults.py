"""No default is written twice: what driftproof does unless told otherwise stands in one place."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "driftproof"
# a switch, nothing, an empty text, and what leaves a sum or a product as it is, are no choices of ours
NOTHING = (None, True, False, "", 0, 1, 0.0)


def literals(tree: ast.AST) -> list[tuple[str, object]]:
    """Return (name, literal) of every default of a function's parameter and of a dataclass's field."""
    found: list[tuple[str, object]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            positional = [*arguments.posonlyargs, *arguments.args]
            pairs = list(zip(positional[::-1], arguments.defaults[::-1], strict=False))
            pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
            found += [(a.arg, d.value) for a, d in pairs if isinstance(d, ast.Constant)]
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.value, ast.Constant):
                    assert isinstance(statement.target, ast.Name)
                    found.append((statement.target.id, statement.value.value))
    return found


def test_no_default_is_written_twice() -> None:
    places: dict[tuple[str, object], list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for name, value in literals(ast.parse(path.read_text(encoding="utf-8"))):
            if not any(value is nothing or (value == nothing and type(value) is type(nothing)) for nothing in NOTHING):
                places[name, value].append(str(path.relative_to(SOURCE)))
    twice = {key: where for key, where in places.items() if len(where) > 1}
    assert twice == {}, "write the number once, in driftproof._defaults if several parts share it"


def test_the_test_sees_a_second_default() -> None:
    tree = ast.parse("def a(*, chips=25): ...\nclass B:\n    chips: int = 25\n")
    assert literals(tree) == [("chips", 25), ("chips", 25)]
