"""Parcels for other processes: networks, data and deployments, packed once, with the classes of the user's code."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cloudpickle
import torch
from torch import nn

from driftproof._errors import DriftproofError
from driftproof.data._user_file import user_modules


def pack(things: dict[str, Any], file: IO[bytes]) -> None:
    """Write things to a file, each tensor once.

    Functions and classes of a script, a notebook or a ``FILE.py`` are written as they are. All others are written as
    the names of their modules, which the other process imports.

    Raises:
        DriftproofError: Something cannot be pickled. The message names the smallest part that cannot.
    """
    with _written_as_they_are():
        try:
            torch.save(things, file, pickle_module=cloudpickle)
        except OSError:
            raise
        except Exception as error:
            part = _culprit(things, set()).lstrip(".")
            raise DriftproofError(
                f"{part} cannot be sent to another process ({type(error).__name__}: {error}); make it in the forward "
                "pass or when it is first used, instead of keeping it, or leave workers and cluster out"
            ) from error


def unpack(source: Path | IO[bytes]) -> dict[str, Any]:
    """Return the things of a parcel. From a path, tensors are read where the file lies, and copied if written to."""
    things: dict[str, Any] = torch.load(
        source, mmap=isinstance(source, Path), weights_only=False, pickle_module=pickle
    )  # made by this program a moment ago
    return things


def shared_file() -> IO[bytes]:
    """Return a file without a name, which other processes can read. It is gone when the last of them has closed it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("driftproof"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def _written_as_they_are() -> Iterator[None]:
    """Let classes and functions of the user's files be written as they are, not as names of modules."""
    modules = user_modules()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _culprit(thing: Any, seen: set[int]) -> str:
    """Return the path to the smallest part of a thing that cannot be pickled, such as ``.network.encoder.log``."""
    seen.add(id(thing))
    for name, part in _parts(thing):
        if id(part) not in seen:
            try:
                cloudpickle.dumps(part)
            except Exception:
                return f"{name}{_culprit(part, seen)}"
    return f" ({type(thing).__name__})"


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and the parts of a thing, and those of a network by the names that its user knows."""
    if isinstance(thing, nn.Module):
        yield from ((f".{name}", part) for name, part in thing.named_children())
    state = thing if isinstance(thing, dict) else thing.__getstate__()
    if isinstance(state, dict):
        yield from ((f".{name}", part) for name, part in state.items() if name != "_modules")
    if isinstance(thing, list | tuple):
        yield from ((f"[{place}]", part) for place, part in enumerate(thing))
