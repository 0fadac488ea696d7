"""Outputs of a network: a tensor, or tensors in a tuple, a dict, a named tuple, a dataclass or another object."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof._errors import DriftproofError

_MAIN = ("logits", "out")
"""Names of the main output, in Hugging Face's and in torchvision's networks."""


def parts_of(outputs: Any) -> dict[str, Any]:
    """Return the parts of some outputs by name; those of a tuple or a list are numbered.

    >>> parts_of((torch.tensor(1), None))
    {'0': tensor(1), '1': None}
    """
    if isinstance(outputs, Mapping):
        return {str(name): part for name, part in outputs.items()}
    if hasattr(outputs, "_asdict"):
        return dict(outputs._asdict())
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, type):
        return {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    if isinstance(outputs, list | tuple):
        return {str(place): part for place, part in enumerate(outputs)}
    if isinstance(getattr(outputs, "logits", None), Tensor):
        return {"logits": outputs.logits}
    return dict(vars(outputs)) if hasattr(outputs, "__dict__") else {}


def main_output(outputs: Any) -> Tensor:
    """Return a network's main output: the tensor itself, ``logits``, ``out`` (torchvision), or the first tensor.

    Raises:
        DriftproofError: The outputs hold no tensor.

    >>> main_output({"loss": torch.tensor(1.0), "logits": torch.tensor([2.0])})
    tensor([2.])
    """
    if isinstance(outputs, Tensor):
        return outputs
    parts = parts_of(outputs)
    tensors = [part for part in (*map(parts.get, _MAIN), *parts.values()) if isinstance(part, Tensor)]
    if tensors:  # a number alone is a loss beside them
        return next((part for part in tensors if part.dim()), tensors[0])
    raise DriftproofError(f"the network returns a {type(outputs).__name__}; wanted a tensor, or one among its parts")


def is_named_main(outputs: Any, main: Tensor) -> bool:
    """Return whether a tensor is all of the outputs, or the part that has the name of a main output."""
    return main is outputs or any(parts_of(outputs).get(name) is main for name in _MAIN)


def chosen_output(outputs: Any, samples: int, fits: Callable[[Tensor], bool]) -> Tensor | None:
    """Return the output that is meant: ``logits``, ``out``, the only tensor, or the only one that fits; else None.

    A number alone, such as a loss beside the logits, is not meant if there are other tensors.

    Args:
        outputs: What the network returns.
        samples: Number of samples.
        fits: Function that tells whether a tensor [N, …] could be what is wanted.

    Raises:
        DriftproofError: The outputs hold no tensor.

    >>> features, logits = torch.zeros(3, 8), torch.zeros(3, 2)
    >>> chosen_output((features, logits), 3, lambda part: part.shape[1] == 2) is logits
    True
    """
    main = main_output(outputs)
    if is_named_main(outputs, main):
        return main
    parts = parts_of(outputs)
    tensors = [part for part in parts.values() if isinstance(part, Tensor)]
    tensors = [part for part in tensors if part.dim()] or tensors
    fitting = [part for part in tensors if part.dim() and len(part) == samples and fits(part)]
    one = tensors if len(tensors) == 1 else fitting
    return one[0] if len(one) == 1 else None


def several(outputs: Any) -> str:
    """Return a text that lists the tensors among some outputs, for messages."""
    parts = parts_of(outputs).items()
    shapes = [f"{name} {list(part.shape)}" for name, part in parts if isinstance(part, Tensor)]
    return f"a {type(outputs).__name__} of {', '.join(shapes)}"


def on_tensors(change: Callable[..., Tensor], *outputs: Any) -> Any:
    """Return outputs in which each tensor is what a function makes of the tensors in its place.

    Args:
        change: Function of as many tensors as there are outputs.
        outputs: Outputs of one network, all of the same form. The result has this form.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        return change(*outputs)
    if isinstance(first, Mapping):
        return {name: on_tensors(change, *(part[name] for part in outputs)) for name in first}
    if isinstance(first, list | tuple):
        made = [on_tensors(change, *parts) for parts in zip(*outputs, strict=True)]
        return type(first)(*made) if hasattr(first, "_asdict") else type(first)(made)
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        parts = {name: on_tensors(change, *(getattr(part, name) for part in outputs)) for name in parts_of(first)}
        return dataclasses.replace(first, **parts)
    return first


def joined(outputs: Sequence[Any]) -> Any:
    """Return the outputs of several batches as one, in the form in which the network returns them.

    >>> joined([(torch.ones(2), None), (torch.zeros(1), None)])
    (tensor([1., 1., 0.]), None)
    """
    return on_tensors(lambda *parts: torch.cat(parts) if parts[0].dim() else torch.stack(parts), *outputs)
