"""Modules, names and attributes of version 0.1 can still be used under their old names, with a warning.

Modules that are not public begin with an underscore now. The old names go in version 0.3.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

RENAMED = {"NoisyProducts": "ArrayReadNoise", "ProductNoise": "MvmReadNoise", "WireDrop": "IRDrop"}
"""Names of version 0.1 → present ones."""
MOVED = {"driftproof.training": ("driftproof.analysis",)}
"""Packages of version 0.1 → others that some of their names are in now."""


class _OldPath:
    """A finder and a loader, without their base classes, which take longer to import than all else here.

    It imports ``driftproof.a.b`` as ``driftproof._a.b`` or ``driftproof.a._b``, whichever there is.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, name = fullname.rpartition(".")
        if parent.partition(".")[0] != "driftproof" or name.startswith("_"):
            return None
        now = sys.modules[parent].__name__  # an old path leads to the module of the present one
        names = (name, f"_{name}") if now != parent else (f"_{name}",)
        there = [f"{now}.{n}" for n in names if PathFinder.find_spec(f"{now}.{n}", path)]
        # it has the methods of a loader
        return ModuleSpec(fullname, self, origin=there[0]) if there else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        assert spec.origin is not None
        warnings.warn(f"{spec.name} is not public any more", DeprecationWarning, stacklevel=2)
        module = import_module(spec.origin)
        if hasattr(module, "__path__"):
            vars(module).setdefault("__getattr__", old_names(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is: it ran under its present name."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def old_names(package: str) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package: it finds names that the package no longer lists, in its modules."""

    def get(name: str) -> object:
        if not name.startswith("_"):
            import pkgutil  # slow, and seldom wanted

            for place in (package, *MOVED.get(package, ())):
                for info in pkgutil.walk_packages(import_module(place).__path__, f"{place}."):
                    module = import_module(info.name)
                    if RENAMED.get(name, name) in vars(module):
                        warnings.warn(f"{package}.{name} is not public any more", DeprecationWarning, stacklevel=2)
                        return vars(module)[RENAMED.get(name, name)]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


def old_attribute(new: str) -> property:
    """Return a property that reads an attribute under its old name."""

    def read(self: object) -> object:
        warnings.warn(f"this attribute is called {new} now", DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(read)


def or_old_module(get: Callable[[str], object]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of the package: it also imports modules, by present and old names."""

    def get_either(name: str) -> object:
        try:
            return get(name)
        except AttributeError:
            from importlib.util import find_spec  # slow, and seldom wanted

            if name.startswith("_") or find_spec(f"driftproof.{name}") is None:
                raise
            return import_module(f"driftproof.{name}")

    return get_either


def install() -> None:
    """Look for old paths before anything else: a module must not be loaded a second time under its old name."""
    if not any(isinstance(finder, _OldPath) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldPath())
