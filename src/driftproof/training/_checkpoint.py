"""The files from which a stopped training is resumed. Its numbers are those of a training that did not stop."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError
from driftproof._files import LARGEST_TABLES, check_file, write_atomically

STATE, SETTINGS, BEST, LAST = "state.pt", "settings.json", "best.safetensors", "last.safetensors"
FORMAT = 1


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a training, completely or not at all: tensors and plain values, no code."""
    content = io.BytesIO()  # torch's own writing to a full disk fails without saying that it is full
    torch.save(state | {"format": FORMAT}, content)
    write_atomically(folder / STATE, content.getvalue())


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return the state that :func:`write_state` left, None if there is none.

    Raises:
        DriftproofError: A damaged file, or a file of another version.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(check_file(path), map_location="cpu", weights_only=True)
        version = state["format"]
    except DriftproofError:
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        MemoryError,
        pickle.UnpicklingError,
        RuntimeError,
        KeyError,
        EOFError,
        TypeError,
    ) as error:
        raise DriftproofError(
            f"{path}: not a state of a training ({type(error).__name__}: {error}); remove it to start again, or choose "
            "another folder"
        ) from error
    if version != FORMAT:
        raise DriftproofError(f"{path}: format {version}, this version reads {FORMAT}; choose another folder")
    return state


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a training to its folder, or compare them with those of the training in the folder.

    A training that was refused or stopped before the end of its first epoch has left nothing to continue.

    Raises:
        DriftproofError: Settings that differ; the message names them.
    """
    path = folder / SETTINGS
    if not path.exists() or not (folder / STATE).exists():
        write_atomically(path, (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode())
        return
    try:
        before = json.loads(check_file(path, LARGEST_TABLES).read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError(f"wanted a table, got a {type(before).__name__}")
    except (ValueError, OSError, RecursionError) as error:
        raise DriftproofError(f"{path}: damaged ({error}); choose another folder") from error
    keys = [key for key in before | settings if key != "made" and before.get(key) != settings.get(key)]
    if keys:
        changes = "; ".join(f"{key} was {before.get(key)!r}, now {settings.get(key)!r}" for key in keys)
        raise DriftproofError(f"{folder} holds another training: {changes}. Choose another folder, or ask for the same")


def describe_validation(validate: Callable[[nn.Module], float] | None, sign: int) -> dict[str, str]:
    """Return the settings of a validation as text: with another validation, another epoch could be the best."""
    if validate is None:
        return {"validation": "none"}
    describe = getattr(validate, "describe", dict)
    return {
        "validation": getattr(validate, "__qualname__", type(validate).__qualname__),
        "validation's best": "highest" if sign > 0 else "lowest",
    } | {f"validation's {name}": value for name, value in describe().items()}


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers, tied ones under each of their names."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
