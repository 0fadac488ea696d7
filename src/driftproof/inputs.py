"""What a network takes: one tensor, several by place (a tuple), or several by name (a dict).

Axis 0 of every tensor counts samples. What is no tensor (a flag, None) is handed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError

type Inputs = Tensor | tuple[Any, ...] | dict[str, Any]


def call(network: Callable[..., Any], inputs: Inputs) -> Any:
    """Call a network: a tuple's parts by place, a dict's by name.

    >>> call(lambda a, b: a - b, {"b": torch.tensor(1), "a": torch.tensor(3)})
    tensor(2)
    """
    if isinstance(inputs, dict):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def as_inputs(value: Any, what: str = "inputs") -> Inputs:
    """Return a tensor, a tuple for any sequence, a dict for any mapping (such as a tokeniser's output).

    Raises:
        DriftproofError: something else, or no tensor in it.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        made: Inputs = {str(key): part for key, part in value.items()}
    elif isinstance(value, list | tuple):
        made = tuple(value)
    else:
        raise DriftproofError(
            f"{what}: wanted a tensor, a tuple of tensors or a dict of tensors, got a {type(value).__name__}"
        )
    if not tensors(made):
        raise DriftproofError(f"{what}: no tensor in this {type(value).__name__}; wanted at least one")
    return made


def tensors(inputs: Inputs) -> list[Tensor]:
    """Return the tensors of some inputs, in order."""
    if isinstance(inputs, Tensor):
        return [inputs]
    parts = inputs.values() if isinstance(inputs, dict) else inputs
    return [part for part in parts if isinstance(part, Tensor)]


def on_tensors(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Return the inputs with every tensor changed.

    >>> on_tensors((torch.ones(2), None), torch.neg)
    (tensor([-1., -1.]), None)
    """
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, dict):
        return {key: change(part) if isinstance(part, Tensor) else part for key, part in inputs.items()}
    return tuple(change(part) if isinstance(part, Tensor) else part for part in inputs)


def count(inputs: Inputs) -> int:
    """Return how many samples there are.

    Raises:
        DriftproofError: tensors without an axis, or that disagree.

    >>> count({"input_ids": torch.zeros(3, 7), "attention_mask": torch.ones(3, 7)})
    3
    """
    sizes = [part.shape[0] if part.dim() else None for part in tensors(inputs)]
    if not sizes or None in sizes or len(set(sizes)) != 1:
        raise DriftproofError(
            f"inputs: wanted tensors whose axis 0 counts the same samples, got {describe(inputs)}; "
            "give what all samples share another way (a wrapper network that adds it)"
        )
    return int(sizes[0])  # type: ignore[arg-type]


def select(inputs: Inputs, samples: slice) -> Inputs:
    """Return some of the samples (views).

    >>> select(torch.arange(5), slice(1, 3))
    tensor([1, 2])
    """
    return on_tensors(inputs, lambda part: part[samples])


def split(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """Yield ``size`` samples at a time; the last part may be smaller."""
    total = count(inputs)
    return (select(inputs, slice(start, start + size)) for start in range(0, total, size))


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """Return the inputs on a device."""
    return on_tensors(inputs, lambda part: part.to(device))


def describe(inputs: Inputs) -> str:
    """Return shapes and types, for messages.

    >>> describe({"ids": torch.zeros(2, 3, dtype=torch.int64)})
    '{ids: int64 [2, 3]}'
    """

    def one(part: Any) -> str:
        if not isinstance(part, Tensor):
            return type(part).__name__
        return f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}"

    if isinstance(inputs, Tensor):
        return one(inputs)
    if isinstance(inputs, dict):
        return "{" + ", ".join(f"{key}: {one(part)}" for key, part in inputs.items()) + "}"
    return "(" + ", ".join(one(part) for part in inputs) + ")"


def main_output(outputs: Any) -> Tensor:
    """Return a network's main output: the tensor itself, ``logits`` of a named output, or the first tensor.

    Raises:
        DriftproofError: there is none.

    >>> main_output({"loss": torch.tensor(1.0), "logits": torch.tensor([2.0])})
    tensor([2.])
    """
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        named = outputs.get("logits")
        found = (
            [named] if isinstance(named, Tensor) else [part for part in outputs.values() if isinstance(part, Tensor)]
        )
    else:
        found = [part for part in outputs if isinstance(part, Tensor)] if isinstance(outputs, list | tuple) else []
    if not found:
        raise DriftproofError(
            f"the network returns a {type(outputs).__name__}; wanted a tensor, or one among its parts"
        )
    return found[0]


def example_call(network: nn.Module, inputs: Inputs) -> Any:
    """Call a network in eval mode without gradients, whatever mode its parts are in; they keep it.

    Raises:
        DriftproofError: the network does not take these inputs.
    """
    training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            return call(network.eval(), inputs)
    except DriftproofError:
        raise
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"the network does not take inputs {describe(inputs)}: {type(error).__name__}: {error}. "
            "Give data of the shape that the network was made for"
        ) from error
    finally:
        for module, flag in training.items():
            module.training = flag
