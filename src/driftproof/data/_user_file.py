"""``file.py:callable``: run a function of a user's Python file and report its errors."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from driftproof._errors import DriftproofError, did_you_mean

# File → (time of change, size, module), so that a file with both a model and data is executed once.
_loaded: dict[Path, tuple[int, int, ModuleType]] = {}

# Module name → folder, for modules that users' files import from their own folder: see `_importable`.
_neighbours: dict[str, Path] = {}


def is_user_file(spec: str) -> bool:
    """Return whether a text names a Python file, with or without a callable.

    >>> is_user_file("my/net.py:make"), is_user_file("my/net.py"), is_user_file("cifar10:/data")
    (True, True, False)
    """
    return bool(_split(spec)[0])


def user_object(spec: str) -> tuple[str, Any]:
    """Return the name for records (no folders) and the callable of ``file.py:callable``, without calling it.

    Raises:
        DriftproofError: the file is missing or fails (the exception is the ``__cause__``); there is no such callable.
    """
    path, attribute = _located(spec)
    with _importable(path.parent):
        return f"{path.name}:{attribute}", _callable(path, attribute)


def call_user_file(spec: str) -> tuple[str, Any]:
    """Run ``callable()`` of ``file.py:callable``; return the name for records (no folders) and the returned value.

    Modules in the file's folder can be imported while the file and the function run.

    Raises:
        DriftproofError: the file is missing or fails (the exception is the ``__cause__``); there is no such callable;
            the callable needs arguments, or raises.
    """
    path, attribute = _located(spec)
    name = f"{path.name}:{attribute}"
    with _importable(path.parent):
        function = _callable(path, attribute)
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise DriftproofError(f"{name}: wanted a callable without arguments, but it has a {error}") from error
        except ValueError:
            pass  # some built-in callables have no signature
        try:
            return name, function()
        except (Exception, SystemExit) as error:
            raise DriftproofError(f"{name} raised {_described(error, path)}") from error


def user_modules() -> list[ModuleType]:
    """Return the modules of the users' files that were run, and those that they import from their own folder."""
    names = [module.__name__ for _, _, module in _loaded.values()] + list(_neighbours)
    return [sys.modules[name] for name in names if name in sys.modules]


def _located(spec: str) -> tuple[Path, str]:
    file, attribute = _split(spec)
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise DriftproofError(f"{spec}: no file {path}; wanted file.py:callable with a file that exists")
    return path, attribute


def _split(spec: str) -> tuple[str, str]:
    if spec.endswith(".py"):
        return spec, ""
    file, _, attribute = spec.rpartition(":")
    return (file, attribute) if file.endswith(".py") else ("", "")


def _module(path: Path) -> ModuleType:
    stat = path.stat()
    known = _loaded.get(path)
    if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size):
        return known[2]
    # The name is unique and stays in sys.modules, where pickling and dataclasses look classes up.
    name = f"driftproof_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise DriftproofError(f"{path.name}: loading the file raised {_described(error, path)}") from error
    _loaded[path] = (stat.st_mtime_ns, stat.st_size, module)
    return module


def _callable(path: Path, attribute: str) -> Any:
    module = _module(path)
    function = getattr(module, attribute, None) if attribute else None
    if callable(function):
        return function
    defined = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    has = f"it has {', '.join(defined)}" if defined else "it defines none"
    wanted = f"no callable {attribute!r}{did_you_mean(attribute, defined)}" if attribute else "no callable was named"
    raise DriftproofError(f"{path}: {wanted}; {has}; wanted file.py:callable")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder in front of ``sys.path``, and keep modules of the same name in two folders apart.

    Otherwise, if two files in two folders each import ``helpers``, the second file would get the first one's module.
    """
    for name in [name for name, home in _neighbours.items() if home != folder]:
        sys.modules.pop(name, None)
        del _neighbours[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        _neighbours.update({name: folder for name in set(sys.modules) - before if _is_beside(name, folder)})


def _is_beside(name: str, folder: Path) -> bool:
    """Return whether a module is a file or a package in ``folder``, or part of such a package."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    if module is None or top == "driftproof":
        return False
    # A package without an __init__.py has no file, only a path.
    origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return origin is not None and Path(origin) in (folder / f"{top}.py", folder / top / "__init__.py", folder / top)


def _described(error: BaseException, path: Path) -> str:
    """Return an exception as one line, with the line of the user's file that led to it if there is one.

    >>> _described(KeyError("fc"), Path("net.py"))
    "KeyError: 'fc'"
    """
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{text} ({path.name}, line {lines[-1]})" if lines else text
