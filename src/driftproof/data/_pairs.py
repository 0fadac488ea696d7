"""(inputs, targets) from a batch or a whole data set: a pair, or a dict of tensors with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs, as_inputs

LABELS = "labels"
"""Key of the targets in a dict of tensors, as in Hugging Face's batches."""

WANTED = f"a pair (inputs, targets), or a dict of tensors with {LABELS!r} among them"


def as_pair(value: Any, name: str) -> tuple[Inputs, Any]:
    """Return inputs and targets of a pair, or of a dict whose ``labels`` are the targets and the rest the inputs.

    Args:
        value: A batch of a loader, or data of a user.
        name: Name of the value in messages.

    Raises:
        DriftproofError: the value is neither of the two, or no tensor is among the inputs.

    >>> inputs, targets = as_pair({"input_ids": torch.zeros(2, 3), "labels": torch.tensor([0, 1])}, "batch")
    >>> list(inputs), targets
    (['input_ids'], tensor([0, 1]))
    """
    if isinstance(value, Mapping):
        if LABELS not in value:
            keys = ", ".join(map(str, value)) or "nothing"
            raise DriftproofError(f"{name} came as a dict of {keys}; wanted {WANTED}: name the targets {LABELS!r}")
        rest = {str(key): part for key, part in value.items() if key != LABELS}
        return as_inputs(rest, f"{name}: inputs next to {LABELS!r}"), value[LABELS]
    if not isinstance(value, tuple | list) or len(value) != 2:
        came = f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
        raise DriftproofError(f"{name} came as {came}; wanted {WANTED}; several inputs go together: ((a, b), targets)")
    return as_inputs(value[0], f"{name}: inputs"), value[1]


def as_tensors(value: Any, name: str) -> Any:
    """Return a tensor or NumPy array, or a tuple or dict of them, as tensors without gradient history.

    Raises:
        DriftproofError: the value is something else.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous or not value.flags.writeable:
            value = value.copy(order="C")  # torch cannot hold negative strides, and warns about read-only memory
        try:
            return torch.from_numpy(value)
        except TypeError as error:
            raise DriftproofError(f"{name} of dtype {value.dtype}; wanted numbers") from error
    if isinstance(value, Mapping):
        return {str(key): as_tensors(part, f"{name} {key!r}") for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(as_tensors(part, f"{name}, part {place},") for place, part in enumerate(value))
    hint = "; a tokeniser gives tensors with return_tensors='pt'" if isinstance(value, list) else ""
    raise DriftproofError(f"{name} came as {type(value).__name__}; wanted a tensor or an array{hint}")
