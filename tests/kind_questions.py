"""Finds in source text the questions about what kind of device, array, law or encoding something is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from kinds import TAGS, Names, kinds, telling_names

_TELLING = TAGS - {"kind"}  # other things in the house have a kind
_WORDS = {"device", "preset", "mix", "law", "laws", "conductance", "programming", "drift", "encoding"}
_HOLDERS = _WORDS | {"default", "stuck"}
_MANY = {"devices", "presets", "parts"}
_TEXT = {"startswith", "endswith", "removeprefix", "partition", "rpartition", "split", "find", "index", "count"}
_INSIDES = {"__dict__", "__class__", "model_fields", "model_fields_set"}
_OF_CLASSES = {"__name__", "__qualname__", "__module__"}


class Question(NamedTuple):
    """A question about a kind: its line, what is asked, and the text of it."""

    line: int
    what: str
    text: str


class Scope:
    """Which expressions of one function (or of a module outside its functions) are devices, laws, or their tags."""

    def __init__(self, names: Names, body: ast.AST) -> None:
        self.names, self.like, self.other, self.tags = names, set[str](), set[str](), set[str]()
        for node in ast.walk(body):
            if isinstance(node, ast.arg | ast.AnnAssign) and (annotation := node.annotation) is not None:
                name = node.arg if isinstance(node, ast.arg) else getattr(node.target, "id", "")
                (self.like if names.annotates_kind(annotation) else self.other).add(name)
        for _ in range(3):
            for node in ast.walk(body):
                self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs += zip(target.elts, node.value.elts, strict=False)
                pairs.append((target, node.value))
        elif isinstance(node, ast.NamedExpr):
            pairs.append((node.target, node.value))
        for target, value in pairs:
            if isinstance(target, ast.Name):
                if self.is_like(value):
                    self.like.add(target.id)
                if self.is_tag(value):
                    self.tags.add(target.id)
        if isinstance(node, ast.For | ast.comprehension) and _last(node.iter) in _MANY:
            self.like.add(_last(node.target))

    def is_like(self, node: ast.AST) -> bool:
        """Whether an expression is a device, an array or a law, by its annotation, its maker or its name."""
        if isinstance(node, ast.Name):
            return node.id in self.like or (node.id in _WORDS and node.id not in self.other)
        if isinstance(node, ast.Attribute):
            return node.attr in _HOLDERS
        if isinstance(node, ast.Call):
            return self.names.returns_kind(node.func) or _last(node.func) in ("for_layer", "without")
        if isinstance(node, ast.Subscript):
            return _last(node.value) in _MANY | {"arrays"}
        return False

    def is_tag(self, node: ast.AST) -> bool:
        """Whether an expression is the text that tells kinds apart."""
        if isinstance(node, ast.NamedExpr):
            return self.is_tag(node.value)
        if isinstance(node, ast.Name):
            return node.id in self.tags
        if isinstance(node, ast.Attribute):
            return node.attr in _TELLING or (node.attr == "kind" and self.is_like(node.value))
        word, holder = _key(node)
        return word in _TELLING or (word == "kind" and holder is not None and self.is_like(holder))


def _last(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _key(node: ast.AST) -> tuple[object, ast.expr | None]:
    """Return the key and the holder of ``holder["key"]`` and ``holder.get("key")``."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value, node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
        return _text(node.args[0]) if node.args else None, node.func.value
    return None, None


def questions(source: str) -> list[Question]:
    """Return every question about a kind in the text of a module."""
    tree = ast.parse(source)
    names, found = Names(tree), dict[tuple[int, int, str], Question]()
    inside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    of_functions = {id(node) for function in inside for node in ast.walk(function)}
    for body in (tree, *inside):
        scope = Scope(names, body)
        for node in ast.walk(body):
            if body is tree and id(node) in of_functions:
                continue
            for what in _asked(node, scope):
                line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
                found.setdefault((line, column, what), Question(line, what, ast.unparse(node).split("\n")[0]))
    return sorted(found.values())


def _asked(node: ast.AST, scope: Scope) -> Iterator[str]:
    names = scope.names
    if isinstance(node, ast.Call):
        yield from _asked_by_call(node, scope)
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
        if any(names.has_kind(part) for part in parts):
            yield "compares a class"
        if any(isinstance(part, ast.Constant) and _names_kind(part.value) for part in parts):
            yield "compares a class's name"
        if any(scope.is_tag(part) for part in parts):
            yield "compares a tag"
        text = isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(node.left, ast.Constant)
        if text and _is_name_of_device(node.comparators[0], scope):
            yield "reads a name"
    elif isinstance(node, ast.Subscript) and scope.is_tag(node.slice):
        yield "looks up a tag"
    elif isinstance(node, ast.Dict) and any(key is not None and names.has_kind(key) for key in node.keys):
        yield "chooses by class"
    elif isinstance(node, ast.Attribute) and node.attr in _INSIDES and scope.is_like(node.value):
        yield "looks inside"
    elif isinstance(node, ast.Name | ast.Attribute) and _last(node).startswith("singledispatch"):
        yield "chooses by class"
    elif isinstance(node, ast.Match) and scope.is_tag(node.subject):
        yield "matches a tag"
    elif isinstance(node, ast.MatchClass) and (names.has_kind(node.cls) or _TELLING & set(node.kwd_attrs)):
        yield "matches a class"
    elif isinstance(node, ast.MatchMapping):
        if any(isinstance(key, ast.Constant) and key.value in _TELLING for key in node.keys):
            yield "matches a tag"
    elif isinstance(node, ast.Try | ast.With) and _forgives(node) and _touches(node.body, scope):
        yield "tries an attribute"


def _asked_by_call(node: ast.Call, scope: Scope) -> Iterator[str]:
    called, first = _last(node.func), node.args[0] if node.args else None
    if called in ("isinstance", "issubclass") and any(scope.names.has_kind(arg) for arg in node.args[1:]):
        yield called
    if called in ("type", "vars", "dir") and isinstance(node.func, ast.Name) and first and scope.is_like(first):
        yield "looks inside"
    if called in ("hasattr", "getattr", "attrgetter", "getattr_static"):
        name = node.args[0] if called == "attrgetter" else node.args[1] if len(node.args) > 1 else None
        if isinstance(name, ast.Constant):
            asked = str(name.value).split(".")
            if telling_names() & set(asked) or (first is not None and scope.is_like(first)):
                yield called
        elif first is not None and scope.is_like(first):
            yield called
    if isinstance(node.func, ast.Attribute):
        holder = node.func.value
        if scope.is_tag(holder) or (called in _TEXT and _is_name_of_device(holder, scope)):
            yield "reads a name"
        if called in _TEXT and _last(holder) in _OF_CLASSES and any(_names_kind(_text(arg)) for arg in node.args):
            yield "reads a name"
        if called in ("get", "pop", "__getitem__") and first is not None and scope.is_tag(first):
            yield "looks up a tag"


def _is_name_of_device(node: ast.AST, scope: Scope) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "name" and scope.is_like(node.value)


def _names_kind(value: object) -> bool:
    """Whether a text is the name of a kind, or a telling part of one."""
    return isinstance(value, str) and len(value) > 3 and any(value in kind.__name__ for kind in kinds())


def _text(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _forgives(node: ast.Try | ast.With) -> bool:
    """Whether an attribute may be missing in a block: ``except AttributeError``, ``with suppress(AttributeError)``."""
    caught = [handler.type for handler in node.handlers] if isinstance(node, ast.Try) else []
    around = [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
    within = (part for whole in (*caught, *around) if whole is not None for part in ast.walk(whole))
    return any(_last(part) == "AttributeError" for part in within)


def _touches(body: list[ast.stmt], scope: Scope) -> bool:
    nodes = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Attribute)]
    return any(node.attr in telling_names() or scope.is_like(node.value) for node in nodes)
