"""Inputs of a network: one tensor, a tuple of positional arguments, or a dict of keyword arguments.

Each argument may hold further tuples, lists and dicts. Axis 0 of every tensor counts samples. Other values, such as a
flag or None, are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from driftproof._errors import DriftproofError, foreign_code
from driftproof._outputs import main_output as main_output  # where version 0.1 has it

type Inputs = Tensor | tuple[Any, ...] | dict[str, Any]


def call(network: Callable[..., Any], inputs: Inputs) -> Any:
    """Call a network with a tuple as positional arguments or a dict as keyword arguments.

    >>> call(lambda a, b: a - b, {"b": torch.tensor(1), "a": torch.tensor(3)})
    tensor(2)
    """
    if isinstance(inputs, dict):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def call_on_copies(network: Callable[..., Any], inputs: Inputs) -> Any:
    """Call a network without gradients on copies of the inputs, which its code may write into.

    Not in torch's inference mode: a network that differentiates inside ``forward``, such as a force field, would fail.

    >>> x = torch.ones(2)
    >>> call_on_copies(torch.neg_, x), x
    (tensor([-1., -1.]), tensor([1., 1.]))
    """
    with torch.no_grad():
        return call(network, on_tensors(inputs, Tensor.clone))


def as_inputs(value: Any, what: str = "inputs") -> Inputs:
    """Return a tensor unchanged, a list as a tuple, and any mapping (such as a tokeniser's output) as a dict.

    Raises:
        DriftproofError: The value is something else, or holds no tensor.
    """
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, Mapping | list | tuple):
        raise DriftproofError(
            f"{what}: wanted a tensor, a tuple of tensors or a dict of tensors, got a {type(value).__name__}"
        )
    made = {str(key): part for key, part in value.items()} if isinstance(value, Mapping) else tuple(value)
    if not tensors(made):
        raise DriftproofError(f"{what}: no tensor in this {type(value).__name__}; wanted at least one")
    return made


def tensors(inputs: Inputs) -> list[Tensor]:
    """Return the tensors that some inputs hold, in order."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]


def on_tensors(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Return the inputs with every tensor changed.

    >>> on_tensors((torch.ones(2), None), torch.neg)
    (tensor([-1., -1.]), None)
    """
    # the common case of one tensor takes a tenth of the time that a walk through a tree takes
    return change(inputs) if isinstance(inputs, Tensor) else tree_map_only(Tensor, change, inputs)


def count(inputs: Inputs) -> int:
    """Return the number of samples.

    Raises:
        DriftproofError: A tensor has no axis, or two tensors hold different numbers of samples.

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
    """Return the inputs of some samples, as views.

    >>> select(torch.arange(5), slice(1, 3))
    tensor([1, 2])
    """
    return on_tensors(inputs, lambda part: part[samples])


def split(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """Yield the inputs of ``size`` samples at a time. The last part may be smaller."""
    return (select(inputs, slice(start, start + size)) for start in range(0, count(inputs), size))


def to_device(inputs: Inputs, torch_device: torch.device) -> Inputs:
    """Return the inputs on a torch device."""
    return on_tensors(inputs, lambda part: part.to(torch_device))


def describe(inputs: Inputs) -> str:
    """Return the shapes and types of inputs as a text for messages.

    >>> describe({"ids": torch.zeros(2, 3, dtype=torch.int64)})
    '{ids: int64 [2, 3]}'
    """

    def one(part: Any) -> str:
        if not isinstance(part, Tensor):
            return type(part).__name__
        return f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}"

    return str(tree_map(one, inputs)).replace("'", "")


@contextmanager
def in_eval_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules in eval mode. When the block ends, each module is in the mode that it was in before."""
    modes = {module: module.training for module in modules}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def refusal(network: nn.Module, inputs: Inputs) -> tuple[str, str]:
    """Return the two ends of the message for inputs that a network does not take.

    The message names tensors that the network keeps beside its parameters and buffers: they may be why.
    """
    kept = [
        f"{path or 'the network'} keeps {name} {list(value.shape)}"
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Tensor) and value.dim()
    ]
    advice = ". Give data of the shape that the network was made for"
    if kept:
        advice += f"; {' and '.join(kept[:3])} between calls: if inputs must fit to that, reset it in forward()"
    return f"the network does not take inputs {describe(inputs)}:", advice


def example_call(network: nn.Module, inputs: Inputs) -> Any:
    """Call a network in eval mode on copies of some inputs, without gradients.

    Afterwards each of its modules is in the mode that it was in.

    Raises:
        DriftproofError: The network does not take these inputs.
    """
    with foreign_code(*refusal(network, inputs)), in_eval_mode(network.modules()):
        return call_on_copies(network, inputs)
