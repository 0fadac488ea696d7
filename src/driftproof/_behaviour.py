"""What a network does with its inputs, found out once, before anything is measured.

Evaluations rest on three assumptions about a network in eval mode: the same inputs give the same outputs, whatever was
computed before; a sample's outputs do not depend on the others in its batch; axis 0 of the outputs counts the samples.
:func:`observe` tests them with a few passes over a few samples. A fourth one, that the inputs stay as they are, is not
needed: every pass gets copies (:func:`driftproof._inputs.call_on_copies`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from driftproof._calls.copies import copied
from driftproof._errors import DriftproofError, foreign_code
from driftproof._inputs import Inputs, call_on_copies, count, on_tensors, refusal, select
from driftproof._outputs import is_named_main, main_output, parts_of
from driftproof._random_state import random_state_kept

SAMPLES = 8
"""Largest number of samples that a network is observed on."""
AGREEMENT = 1e-3
"""Largest relative difference of outputs by rounding alone: far above float32's, far below any mistake's."""
CACHE_BYTES = 8 * 1024**2
"""On a CPU, activations up to this size stay in the cache and need few new memory pages."""
NO_LIMIT = 2**31


class InputsRefused(DriftproofError):
    """The network does not take some inputs."""


@dataclass(frozen=True)
class Behaviour:
    """What a network in eval mode does with its inputs.

    Attributes:
        outputs: Its main outputs on the inputs that it was observed on.
        joint: Whether the outputs of a sample depend on the other samples of its batch, or the network takes batches
            of some sizes only. A batch is then always computed as a whole.
        wrong_axis: Why axis 0 of the outputs does not count the samples; empty if it does.
        at_once: Number of samples to compute at once. On a CPU, the largest activation of so many fits into the cache.
            It depends on shapes only. (For ResNet-20 on CIFAR it is 128, and half of a batch of 250 takes three
            quarters of its time.)
        sample_bytes: Size in bytes of the largest activation of one sample.
    """

    outputs: Tensor
    joint: bool = False
    wrong_axis: str = ""
    at_once: int = NO_LIMIT
    sample_bytes: int = 1

    def check_axis(self) -> None:
        """Raise DriftproofError unless axis 0 of the outputs counts the samples, as every metric wants."""
        if self.wrong_axis:
            raise DriftproofError(self.wrong_axis)


def observe(network: nn.Module, inputs: Inputs) -> Behaviour:
    """Return how a network in eval mode behaves on some inputs, after three passes.

    Args:
        network: A copy of a network, in eval mode: what it keeps between calls may change.
        inputs: Inputs [N, …] of a few samples. They are not changed.

    Raises:
        InputsRefused: The network does not take the inputs.
        DriftproofError: It keeps something between calls, or is random: it is no function of its inputs.

    >>> seen = observe(nn.Linear(3, 2).eval(), torch.rand(4, 3))
    >>> seen.outputs.shape, seen.joint, seen.wrong_axis
    (torch.Size([4, 2]), False, '')
    """
    with random_state_kept() as state:
        # what the network keeps of these calls must not be there when it runs on parts of the inputs
        other = fresh(network)
        outputs, largest = _first_pass(other, inputs)
        if not _repeats(other, inputs, outputs):
            state.restore()
            raise DriftproofError(_RANDOM if _repeats(other, inputs, outputs) else _REMEMBERS)
        main, number = main_output(outputs), count(inputs)
        wrong, joint = _wrong_axis(outputs, number), False
        if not wrong:
            wrong, joint = _compared_with_parts(network, other, inputs, outputs)
    alone = isinstance(inputs, Tensor) and isinstance(outputs, Tensor) and not wrong and not joint
    at_once = max(8, CACHE_BYTES * number // largest) if alone and main.device.type == "cpu" else NO_LIMIT
    return Behaviour(main, joint, wrong, at_once, -(-largest // max(1, number)))


def observe_first(network: nn.Module, examples: Iterable[Inputs]) -> tuple[Behaviour, Inputs]:
    """Observe a network on the first of some examples that it does not refuse; return that, too.

    Some networks take batches of one size only.

    Raises:
        DriftproofError: As for :func:`observe`; what the network raised for the first example if it refuses all.
    """
    refused: InputsRefused | None = None
    for example in examples:
        try:
            return observe(network, example), example
        except InputsRefused as error:
            refused = refused or error
    assert refused is not None, "no example"
    raise refused


def fresh(network: nn.Module) -> nn.Module:
    """Return a copy of a network that shares its parameters, and nothing that a call of the network changes."""
    return copied(network, network.parameters())


def check_function(unused: nn.Module, used: nn.Module, example: Inputs) -> None:
    """Check that a network's outputs depend on its inputs alone, by two passes on one sample of an example.

    Args:
        unused: A :func:`fresh` copy of the network. It has not run.
        used: The network. It has run on the example.
        example: Inputs [N, …].

    Raises:
        DriftproofError: The network does not take the example, keeps something between calls, or is random.
    """
    with random_state_kept() as state:
        try:
            inputs = select(example, slice(1))
            outputs, _ = _first_pass(unused, inputs)
        except InputsRefused:  # it may take batches of one size only
            inputs = example
            outputs, _ = _first_pass(unused, inputs)
        if not _repeats(used, inputs, outputs):
            state.restore()
            raise DriftproofError(_RANDOM if _repeats(used, inputs, outputs) else _REMEMBERS)


def _first_pass(network: nn.Module, inputs: Inputs) -> tuple[Any, int]:
    """Return the outputs of a pass, and the size in bytes of its largest activation."""
    sizes = [part.nbytes for part in tree_leaves(inputs) if isinstance(part, Tensor)]

    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

    try:
        with foreign_code(*refusal(network, inputs)), nn.modules.module.register_module_forward_hook(note):
            return call_on_copies(network, inputs), max(1, *sizes)
    except DriftproofError as error:
        raise InputsRefused(str(error)) from error.__cause__


def _repeats(network: nn.Module, inputs: Inputs, outputs: Any) -> bool:
    """Return whether another pass on the same inputs gives the same outputs."""
    try:
        return _same(_numbers(outputs), _numbers(call_on_copies(network, inputs)))
    except Exception:  # such as a state of other shapes, or a graph that is gone; the pass before did not fail
        return False


def _compared_with_parts(network: nn.Module, other: nn.Module, inputs: Inputs, outputs: Any) -> tuple[str, bool]:
    """Return what is wrong with axis 0 of the outputs of two parts of a batch, and whether they are others than in it.

    Args:
        network: The network. It has not run before.
        other: A copy, which has run on all inputs.
        inputs: Inputs of some samples.
        outputs: The outputs for all of them.

    Raises:
        DriftproofError: The outputs depend on what the network was called with before.
    """
    number, differs = count(inputs), False
    for part in _two_parts(number):
        given, size = select(inputs, part), part.stop - part.start
        try:
            outputs_of_part = call_on_copies(network, given)
        except Exception:  # such as a network that takes batches of one size only
            return "", True
        if size == 1 and main_output(outputs_of_part).dim() < main_output(outputs).dim():
            return "", True  # it loses an axis of length 1
        if wrong := _wrong_axis(outputs_of_part, size):
            return wrong, False
        alone = _of_samples(outputs_of_part, size)
        if _agree(alone, _of_samples(outputs, number, part)):
            continue
        if not _agree(_of_samples(call_on_copies(other, given), size), alone):
            raise DriftproofError(_REMEMBERS)
        differs = True
    return "", differs and _differ_in_double(copied(network), inputs)


def _differ_in_double(network: nn.Module, inputs: Inputs) -> bool:
    """Return whether the outputs of two parts differ in double precision, too.

    A network with thresholds may turn the rounding of another batch size into another answer.
    """
    number, doubled = count(inputs), on_tensors(inputs, _doubled)
    parts = _two_parts(number)
    try:
        exact = network.double()
        whole, *outputs = [call_on_copies(exact, select(doubled, part)) for part in (slice(None), *parts)]
    except Exception:  # whatever a network's own code raises in another type
        return True
    return not all(
        _agree(_of_samples(alone, part.stop - part.start), _of_samples(whole, number, part))
        for alone, part in zip(outputs, parts, strict=True)
    )


def _two_parts(number: int) -> list[slice]:
    """Return two parts of some samples. The cut is odd, so that it takes apart pairs, and the two halves of a batch.

    What is one for all samples, such as a largest number, is another one in one of the parts. A part of one sample is
    left out, because networks may lose an axis of length 1, except where all are so small.

    >>> _two_parts(8), _two_parts(4), _two_parts(2), _two_parts(1)
    ([slice(0, 3, None), slice(3, 8, None)], [slice(1, 4, None)], [slice(1, 2, None)], [])
    """
    cut = number * 3 // 8 | 1
    parts = [part for part in (slice(0, cut), slice(cut, number)) if part.stop - part.start > 1]
    return parts or [slice(cut, number)] * (number == 2)


def _wrong_axis(outputs: Any, number: int) -> str:
    """Return a text unless axis 0 of the main output counts a number of samples."""
    main = main_output(outputs)
    shape = list(main.shape)
    # of several outputs, a metric takes one that counts the samples
    several = [] if is_named_main(outputs, main) else list(parts_of(outputs).values())
    if any(isinstance(part, Tensor) and part.dim() and len(part) == number for part in (main, *several)):
        return ""
    if isinstance(outputs, list | tuple) and len(outputs) == number > 1:
        return (
            f"the network returns a {type(outputs).__name__} of {number} parts for {number} samples: wanted one tensor "
            "whose axis 0 counts the samples. Wrap the network in a module that stacks the parts, padded to one length"
        )
    text = (
        f"the network's main output has the shape {shape} for {number} samples: axis 0 must count the samples. Wrap "
        "the network in a module that returns one entry per sample"
    )
    axis = next((axis for axis, size in enumerate(shape) if size == number), None)
    if axis is None:
        return text
    return f"{text}: return outputs.transpose(0, {axis}), and let a metric that reduces axis 0 reduce axis {axis}"


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


def _of_samples(outputs: Any, number: int, part: slice = slice(None)) -> list[Tensor | None]:
    """Return the outputs of a part of the samples; None for each whose axis 0 does not count the samples."""
    return [leaf[part] if leaf.dim() and len(leaf) == number else None for leaf in _numbers(outputs)]


def _agree(one: list[Tensor | None], other: list[Tensor | None]) -> bool:
    """Return whether tensors are equal up to rounding. One that is None is not looked at."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    return len(one) == len(other) and all(a.shape == b.shape and _gap(a, b) <= rounding(a) for a, b in pairs)


def rounding(outputs: Tensor) -> float:
    """Return the largest relative difference by rounding, which half precision has more of."""
    exact = not (outputs.is_floating_point() or outputs.is_complex())
    return AGREEMENT if exact else max(AGREEMENT, 8 * torch.finfo(outputs.dtype).eps)


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Return whether tensors hold the same numbers. NaN equals NaN; a GPU may add in another order."""
    if [part.shape for part in one] != [part.shape for part in other]:
        return False
    pairs = zip(one, other, strict=True)
    return all(_gap(a, b) <= (0.0 if a.device.type == "cpu" else AGREEMENT) for a, b in pairs)


def _gap(outputs: Tensor, wanted: Tensor) -> float:
    """Return the largest difference of two tensors relative to the largest number, NaN being equal to NaN."""
    if not wanted.numel():
        return 0.0
    if outputs.is_sparse or wanted.is_sparse:
        outputs, wanted = outputs.to_dense(), wanted.to_dense()
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    a, b = outputs.to(wide), wanted.to(wide)
    difference = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(nan=torch.inf)
    return float(difference.max() / b.abs().nan_to_num(nan=0.0, posinf=0.0).max().clamp(min=1e-30))


def _doubled(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part
