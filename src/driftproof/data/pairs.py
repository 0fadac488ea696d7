"""(inputs, targets) out of a batch or of all of a set: a pair, or named tensors among which are the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs, as_inputs

LABELS = "labels"
"""What named batches call their targets, as Hugging Face's do."""

WANTED = f"a pair (inputs, targets), or a dict of tensors with {LABELS!r} among them"


def as_pair(value: Any, what: str) -> tuple[Inputs, Any]:
    """Return inputs and targets of a pair, or of a dict whose ``labels`` are the targets and the rest the inputs.

    Args:
        value: what a dataset's collate function made, or a user gave.
        what: says in messages what it is.

    Raises:
        DriftproofError: neither of the two, or no tensor among the inputs.

    >>> inputs, targets = as_pair({"input_ids": torch.zeros(2, 3), "labels": torch.tensor([0, 1])}, "batch")
    >>> list(inputs), targets
    (['input_ids'], tensor([0, 1]))
    """
    if isinstance(value, Mapping):
        if LABELS not in value:
            names = ", ".join(map(str, value)) or "nothing"
            raise DriftproofError(f"{what} came as a dict of {names}; wanted {WANTED}: name the targets {LABELS!r}")
        rest = {str(name): part for name, part in value.items() if name != LABELS}
        return as_inputs(rest, f"{what}: inputs beside {LABELS!r}"), value[LABELS]
    if not isinstance(value, tuple | list) or len(value) != 2:
        came = f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
        raise DriftproofError(f"{what} came as {came}; wanted {WANTED}; several inputs go together: ((a, b), targets)")
    return as_inputs(value[0], f"{what}: inputs"), value[1]


def as_tensors(value: Any, what: str) -> Any:
    """Return tensors and NumPy arrays as tensors without history, each on its own or within a tuple, list or dict.

    Raises:
        DriftproofError: anything else.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous or not value.flags.writeable:
            value = value.copy(order="C")  # torch cannot hold negative strides, and warns about read-only memory
        try:
            return torch.from_numpy(value)
        except TypeError as error:
            raise DriftproofError(f"{what} of dtype {value.dtype}; wanted numbers") from error
    if isinstance(value, Mapping):
        return {str(name): as_tensors(part, f"{what} {name!r}") for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(as_tensors(part, f"{what}, part {place},") for place, part in enumerate(value))
    hint = "; a tokeniser gives tensors with return_tensors='pt'" if isinstance(value, list) else ""
    raise DriftproofError(f"{what} came as {type(value).__name__}; wanted a tensor or an array{hint}")
