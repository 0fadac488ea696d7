"""What a stopped training needs to go on as if it had not stopped."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError

STATE, SETTINGS, BEST, LAST = "state.pt", "settings.json", "best.safetensors", "last.safetensors"
FORMAT = 1


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    temporary = path.with_suffix(".writing")
    # copies: safetensors refuses tensors that share memory, as tied weights do
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}, temporary)
    temporary.replace(path)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a training, whole or not at all: tensors and plain values, no code."""
    temporary = folder / f"{STATE}.writing"
    torch.save(state | {"format": FORMAT}, temporary)
    temporary.replace(folder / STATE)


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return the state that :func:`write_state` left, None if there is none.

    Raises:
        DriftproofError: a damaged file, or one of another version.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = state["format"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, TypeError) as error:
        raise DriftproofError(
            f"{path}: not a state of a training ({type(error).__name__}: {error}); remove it to begin anew, or choose "
            "another folder"
        ) from error
    if version != FORMAT:
        raise DriftproofError(f"{path}: format {version}, this version reads {FORMAT}; choose another folder")
    return state


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write down how a training is run, or see that a folder's training was run so.

    Raises:
        DriftproofError: it was not; the message names what differs.
    """
    path = folder / SETTINGS
    if not path.exists():
        temporary = folder / f"{SETTINGS}.writing{os.getpid()}"  # several processes may be at it
        temporary.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DriftproofError(f"{path}: damaged ({error}); choose another folder") from error
    keys = [key for key in {**before, **settings} if key != "made"]
    changed = [key for key in keys if before.get(key) != settings.get(key)]
    if changed:
        what = "; ".join(f"{key} was {before.get(key)!r}, now {settings.get(key)!r}" for key in changed)
        raise DriftproofError(f"{folder} holds another training: {what}. Choose another folder, or ask for the same")


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers, tied ones under each of their names."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
