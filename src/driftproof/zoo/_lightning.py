"""Checkpoints of Lightning: the state dict of a module that has the network as a part, and objects of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from driftproof._calls.analog import ANALOG_WEIGHTS
from driftproof._errors import DriftproofError, warn

LIGHTNING = ".ckpt"
_SHOWN = 4


class _Unmade(dict[Any, Any]):
    """What stands for an object of a class that is not made, such as a hyper-parameter's."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""


def read_lightning(path: Path) -> Any:
    """Return the content of a checkpoint; objects of classes that torch does not trust are empty ones.

    ``torch.load`` runs with ``weights_only=True``. Classes of the file are not imported: an inert class of ours stands
    for each.

    Raises:
        DriftproofError: The weights are of layers on aihwkit's tiles.
        pickle.UnpicklingError: The file does more than making objects.
    """
    others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if any(name.startswith("aihwkit.") for name in others):
        raise DriftproofError(f"weights {path}: entries of aihwkit's classes {ANALOG_WEIGHTS}")
    with torch.serialization.safe_globals([(_Unmade, name) for name in others]):
        return torch.load(path, map_location="cpu", weights_only=True)


def without_prefix(entries: Mapping[str, Tensor], names: list[str], place: str) -> dict[str, Tensor]:
    """Return the entries of the part whose names end with a network's, without what stands before.

    Args:
        entries: Names in the file → tensors.
        names: Names that the network wants; its counters ``num_batches_tracked`` may be missing.
        place: The file, for the warning.

    >>> dict(without_prefix({"fc.weight": 1, "fc.bias": 2}, ["fc.weight", "fc.bias"], "x.ckpt"))
    {'fc.weight': 1, 'fc.bias': 2}
    """
    wanted = [name for name in names if not name.endswith("num_batches_tracked")]
    first = wanted[0] if wanted else ""
    prefixes = [key.removesuffix(first) for key in entries if key == first or key.endswith(f".{first}")]
    fitting = [prefix for prefix in prefixes if all(prefix + name in entries for name in wanted)]
    if not fitting or "" in fitting:
        return dict(entries)
    if len(fitting) > 1:
        raise DriftproofError(
            f"{place}: {len(fitting)} parts of it have this network's names: {', '.join(fitting)}; save the one "
            "that you want: torch.save(module.PART.state_dict(), 'weights.pt')"
        )
    (prefix,) = fitting
    left = [key for key in entries if not key.startswith(prefix)]
    unused = f"; not used: {', '.join(left[:_SHOWN])}{f' and {len(left) - _SHOWN} more' if len(left) > _SHOWN else ''}"
    warn(f"{place}: the prefix {prefix!r} of its names is taken off{unused if left else ''}")
    return {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
