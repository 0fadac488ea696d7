"""What a kind of device, array, law or encoding is, and what a file calls it.

It is computed: all implementations of the protocols in :mod:`driftproof._devices`, and all of the laws.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from functools import cache
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel

import driftproof
from driftproof._devices import Array, Device, DeviceLaws
from driftproof._devices.saved import SavedDevice

HOMES = ("laws", "_presets", "_devices", "measured")
"""The packages that define devices and laws."""

PROTOCOLS: tuple[type, ...] = (Device, Array, DeviceLaws, SavedDevice)

TAGS = {"kind", "law", "encoding", "family"}
"""What tells kinds apart in files."""


# --- what is a kind ---


@cache
def home_modules() -> tuple[ModuleType, ...]:
    """Return all modules of the packages that define devices and laws."""
    found = []
    for home in HOMES:
        package = importlib.import_module(f"driftproof.{home}")
        names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
        found += [package, *(importlib.import_module(name) for name in names)]
    return tuple(found)


def members(kind: type) -> set[str]:
    """Return the public names that objects of a class have."""
    fields = {name for part in kind.__mro__ for name in inspect.get_annotations(part)}
    return {name for name in fields | set(dir(kind)) if not name.startswith("_")}


@cache
def kinds() -> frozenset[type]:
    """Return what implements the protocols of devices, arrays, sets of laws, saved forms; these; and all laws."""
    found = set(PROTOCOLS)
    for module in home_modules():
        for value in vars(module).values():
            if not inspect.isclass(value) or value.__module__ != module.__name__:
                continue
            is_law = value.__module__.startswith("driftproof.laws")
            if is_law or any(members(protocol) <= members(value) for protocol in PROTOCOLS):
                found.add(value)
    return frozenset(found)


@cache
def telling_names() -> set[str]:
    """Return the attributes by which kinds could be told apart."""
    return (TAGS | {name for kind in kinds() for name in members(kind)}) - members(BaseModel) - members(object)


def mentions_kind(value: Any) -> bool:
    """Whether a value is a class of the kinds, a union with one in it, or a collection of such."""
    if inspect.isclass(value) and not get_args(value):
        return value in kinds()
    if isinstance(value, dict):
        return any(mentions_kind(item) for item in (*value, *value.values()))
    if isinstance(value, tuple | list | set | frozenset):
        return any(mentions_kind(item) for item in value)
    return any(mentions_kind(item) for item in get_args(getattr(value, "__value__", value)))


# --- what a file calls them ---


class Names:
    """What the names of one file stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.values: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "driftproof":
                        self.values[alias.asname or "driftproof"] = (
                            importlib.import_module(alias.name) if alias.asname else driftproof
                        )
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "driftproof":
                for alias in node.names:
                    self.values[alias.asname or alias.name] = _imported(str(node.module), alias.name)
        self.aliases: set[str] = set()
        for _ in range(3):  # an alias of an alias
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and self.has_kind(node.value) and not _makes(node.value):
                    self.aliases |= {target.id for target in node.targets if isinstance(target, ast.Name)}
                elif isinstance(node, ast.TypeAlias) and self.has_kind(node.value):
                    self.aliases.add(node.name.id)

    def value(self, node: ast.AST) -> Any:
        """Return what a dotted name stands for, None if that is not of driftproof."""
        if isinstance(node, ast.Name):
            return self.values.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            return getattr(base, node.attr, None) if isinstance(base, ModuleType) else None
        return None

    def has_kind(self, node: ast.AST) -> bool:
        """Whether a class of the kinds is in an expression, under whatever name."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id in self.aliases:
                return True
            if isinstance(part, ast.Name | ast.Attribute) and mentions_kind(self.value(part)):
                return True
        return False

    def annotates_kind(self, annotation: ast.expr) -> bool:
        """Whether an annotation has a class of the kinds in it."""
        texts = [node.value for node in ast.walk(annotation) if isinstance(node, ast.Constant)]
        parsed = [ast.parse(text, mode="eval") for text in texts if isinstance(text, str) and text.isidentifier()]
        return any(self.has_kind(node) for node in (annotation, *parsed))

    def returns_kind(self, function: ast.expr) -> bool:
        """Whether a function of driftproof, or a class, makes an object of a kind."""
        made = self.value(function)
        returned = str(getattr(made, "__annotations__", {}).get("return", "")) if inspect.isroutine(made) else ""
        named = {kind.__name__ for kind in kinds()}
        words = set(re.findall(r"\w+", returned))
        return mentions_kind(made) or (bool(named & words) and not returned.startswith(("list", "dict", "tuple")))


def _imported(module: str, name: str) -> Any:
    found = importlib.import_module(module)
    try:
        return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")
    except ImportError:
        return None


def _makes(node: ast.expr) -> bool:
    """Whether an expression calls something: what comes out is no class."""
    return isinstance(node, ast.Call | ast.Await)
