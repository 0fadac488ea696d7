"""What a network does with its inputs, found out once, before anything is measured.

Evaluations rest on four assumptions about a network in eval mode: the same inputs give the same outputs, whatever was
computed before; a sample's outputs do not depend on the others in its batch; axis 0 of the outputs counts the samples;
the inputs stay as they are. :func:`observe` tests them with a few passes over a few samples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from driftproof._errors import DriftproofError, foreign_code
from driftproof._inputs import Inputs, call, count, describe, main_output, on_tensors, select, tensors
from driftproof._random_state import RandomState, random_state_kept

SAMPLES = 64
"""Largest number of samples that a network is observed on."""
AGREEMENT = 1e-3
"""Largest relative difference of outputs by rounding alone: far above float32's, far below any mistake's."""


@dataclass(frozen=True)
class Behaviour:
    """What a network in eval mode does with its inputs.

    Attributes:
        changes_inputs: Whether ``forward`` writes into its inputs, such as ``x -= mean``. It is given copies then.
        differentiates: Whether ``forward`` computes gradients, such as a force field does. It runs under
            ``torch.no_grad`` then, and not in the faster ``torch.inference_mode``.
        joint: Whether the outputs of a sample depend on the other samples of its batch. A batch is then always computed
            as a whole.
    """

    changes_inputs: bool = False
    differentiates: bool = False
    joint: bool = False

    def call(self, network: Callable[..., Any], inputs: Inputs) -> Any:
        """Return the outputs of one pass without gradients, and leave the inputs as they are."""
        with torch.no_grad() if self.differentiates else torch.inference_mode():
            return call(network, on_tensors(inputs, Tensor.clone) if self.changes_inputs else inputs)


def observe(network: nn.Module, inputs: Inputs) -> Behaviour:
    """Return how a network in eval mode behaves on some inputs, after at most five passes.

    Args:
        network: A copy of a network, in eval mode: what it keeps between calls may change.
        inputs: Inputs [N, …] of a few samples. They are not changed.

    Raises:
        DriftproofError: The network does not take the inputs. It keeps something between calls, or is random: it is no
            function of its inputs. Axis 0 of its main output does not count the samples.

    >>> observe(nn.Linear(3, 2).eval(), torch.rand(4, 3))
    Behaviour(changes_inputs=False, differentiates=False, joint=False)
    """
    with random_state_kept() as state:
        return _observe(network, inputs, state)


def _observe(network: nn.Module, inputs: Inputs, state: RandomState) -> Behaviour:
    given = on_tensors(inputs, Tensor.clone)
    with foreign_code(f"the network fails on inputs {describe(inputs)}:"), torch.no_grad():
        outputs = call(network, given)
    changes = not _same(tensors(given), tensors(inputs))
    try:
        behaviour = Behaviour(changes_inputs=changes)
        again = behaviour.call(network, inputs)
    except RuntimeError:  # what torch raises where gradients are wanted of tensors of the inference mode
        behaviour = Behaviour(changes_inputs=changes, differentiates=True)
        again = behaviour.call(network, inputs)
    if not _same(_numbers(outputs), _numbers(again)):
        state.restore()
        repeats = _same(_numbers(outputs), _numbers(behaviour.call(network, inputs)))
        raise DriftproofError(_RANDOM if repeats else _REMEMBERS)
    main, number = main_output(outputs), count(inputs)
    if main.dim() == 0 or len(main) != number:
        raise DriftproofError(_wrong_axis(main, number))
    return replace(behaviour, joint=number > 1 and _is_joint(network, behaviour, inputs, main))


def _is_joint(network: nn.Module, behaviour: Behaviour, inputs: Inputs, outputs: Tensor) -> bool:
    """Return whether the outputs of a batch differ from those of its two halves by more than rounding."""
    parts = _in_parts(network, behaviour, inputs)
    if parts is None or _gap(parts, outputs) <= AGREEMENT:
        return parts is None
    # a network with thresholds may turn rounding into another answer: is it still another one in double precision?
    try:
        exact, doubled = copy.deepcopy(network).double(), on_tensors(inputs, _doubled)
        parts = _in_parts(exact, behaviour, doubled)
        return parts is None or _gap(parts, main_output(behaviour.call(exact, doubled))) > AGREEMENT
    except Exception:  # whatever a network's own code raises in another type
        return True


def _in_parts(network: nn.Module, behaviour: Behaviour, inputs: Inputs) -> Tensor | None:
    """Return the main outputs of the two halves of a batch, joined. None if they cannot be computed or joined.

    Raises:
        DriftproofError: Axis 0 of the outputs of a half does not count its samples.
    """
    number = count(inputs)
    sizes = (number // 2, number - number // 2)
    outputs = []
    for first, size in zip((0, sizes[0]), sizes, strict=True):
        try:
            outputs.append(main_output(behaviour.call(network, select(inputs, slice(first, first + size)))))
        except Exception:  # such as a network that takes batches of one size only
            return None
        if len(outputs[-1]) != size:
            raise DriftproofError(_wrong_axis(outputs[-1], size))
    one, other = outputs
    return torch.cat(outputs) if one.shape[1:] == other.shape[1:] else None


def _wrong_axis(outputs: Tensor, number: int) -> str:
    shape = list(outputs.shape)
    axis = next((axis for axis, size in enumerate(shape) if size == number), None)
    hint = "" if not axis else f", such as with return outputs.transpose(0, {axis})"
    return (
        f"the network's main output has the shape {shape} for {number} samples: axis 0 must count the samples. Wrap "
        f"the network in a module that returns one entry per sample{hint}"
    )


_RANDOM = (
    "two passes of the network on the same inputs differ, unless the random state is the same: something in it is "
    "random in eval mode, such as functional dropout without training=self.training; make it deterministic"
)
_REMEMBERS = (
    "two passes of the network on the same inputs differ, even with the same random state: it keeps something between "
    "calls, such as the membrane potential of a spiking neuron, a hidden state or a running mean; reset that at the "
    "start of forward()"
)


def _numbers(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)] or [main_output(outputs)]


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Return whether tensors hold the same numbers. NaN equals NaN; a GPU may add in another order."""
    if [part.shape for part in one] != [part.shape for part in other]:
        return False
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.numel()]
    return all(_gap(a, b) <= (0.0 if a.device.type == "cpu" else AGREEMENT) for a, b in pairs)


def _gap(outputs: Tensor, wanted: Tensor) -> float:
    """Return the largest difference of two tensors relative to the largest number, NaN being equal to NaN."""
    if outputs.is_sparse or wanted.is_sparse:
        outputs, wanted = outputs.to_dense(), wanted.to_dense()
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    a, b = outputs.to(wide), wanted.to(wide)
    difference = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(nan=torch.inf)
    return float(difference.max() / b.abs().nan_to_num(nan=0.0, posinf=0.0).max().clamp(min=1e-30))


def _doubled(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part
