"""Many chips at once: the effective weights of K chips, stacked, in one forward pass of ``torch.func.vmap``.

A small network on a GPU spends most of its time on launching kernels. With the weights of K chips in one tensor, K
chips launch as many kernels as one: a linear layer becomes a batched matrix product, a convolution a grouped one.

**Where it pays.** On a GPU, as long as the activations of K chips fit into :data:`MEMORY_BYTES`. On a CPU it does not
pay. Per chip and 597 samples in batches of 250, on one core, one at a time against the best of K = 1 to 32: the digits
CNN 4.0 ms against 9.1 ms (vmap reorders channels-last convolutions; grouped ones that keep the order take 3.7 ms), an
MLP 784-128-10 0.85 against 0.73 ms, 64-64-10 0.09 against 0.09 ms, four residual blocks on tokens 0.57 against 0.89 ms.
Only convolutions of a few channels gain, 0.4 ms of a cell of some ms.

**Equal results.** All passes have K chips: a smaller group is filled up with what is in memory. A chip's outputs then
depend neither on how many chips come with it nor on its place, so that a run which was stopped and continued gives the
same cells. They are those of a pass alone within :data:`AGREEMENT_ALONE` of the largest output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from driftproof._behaviour import Behaviour, rounding
from driftproof._inputs import Inputs, on_tensors, split
from driftproof._outputs import main_output
from driftproof._outputs import on_tensors as on_outputs
from driftproof.evaluation._backends import Backend

MEMORY_BYTES = 2 * 1024**3
"""Memory for the weights and activations of K chips."""
MOST_CHIPS = 32
"""Largest K. By then the kernels of a small network are long enough to hide their launch."""
LIVE = 4
"""Number of largest activations that are taken to be in memory at one time: inputs, outputs, a branch, a workspace."""
AGREEMENT_ALONE = 1e-5
"""Largest difference from the outputs of one chip alone, relative to the largest output, of products in float32."""


def chips_at_once(weight_bytes: int, batch_bytes: int, torch_device: torch.device) -> int:
    """Return how many chips are computed at once, a power of two. It depends on sizes only, never on free memory.

    Args:
        weight_bytes: Size of the weights of one chip.
        batch_bytes: Size of the largest activation of one chip for a batch.
        torch_device: The torch device of the network.

    >>> chips_at_once(10**5, 10**6, torch.device("cuda")), chips_at_once(10**8, 10**8, torch.device("cuda"))
    (32, 4)
    >>> chips_at_once(10**5, 10**6, torch.device("cpu"))
    1
    """
    if torch_device.type == "cpu":
        return 1
    fitting = MEMORY_BYTES // max(1, weight_bytes + LIVE * batch_bytes)
    return 1 << max(0, min(MOST_CHIPS, fitting).bit_length() - 1)


class ManyChips:
    """A network with the weights of K chips.

    Args:
        network: The network of one chip at a time.
        number: Number of chips in a pass, K.

    >>> from torch import nn
    >>> from driftproof._chip import Chip
    >>> from driftproof._mapping import map_model
    >>> from driftproof._presets import load_preset
    >>> from driftproof.evaluation import FoldedNetwork
    >>> layer, x = nn.Linear(3, 2).eval(), torch.ones(4, 3)
    >>> mapping = map_model(layer)
    >>> network = FoldedNetwork(layer, mapping, x)
    >>> many = ManyChips(network, number=2)
    >>> for place in range(2):
    ...     network.load(Chip(mapping, load_preset("gaussian:0.1"), seed=0, chip=place), t_s=1.0)
    ...     many.take(place)
    >>> [outputs.shape for outputs in many(x)]
    [torch.Size([4, 2]), torch.Size([4, 2])]
    """

    def __init__(self, network: Backend, number: int) -> None:
        self.network, self.number = network, number
        self._written = network.written
        self._stacks = {name: p.detach().new_empty(number, *p.shape) for name, p in self._written.items()}
        self._samples = max(1, network.at_once // number)  # as many as fit into a CPU's cache, the same in any group
        for place in range(number):
            self.take(place)

    @torch.no_grad()
    def take(self, place: int) -> None:
        """Copy the weights of the chip that the network has become to one of the K places."""
        for name, parameter in self._written.items():
            self._stacks[name][place].copy_(parameter)

    @torch.no_grad()
    def __call__(self, inputs: Inputs) -> list[Any]:
        """Return the outputs of each of the K chips for inputs [N, …], which are not changed.

        Raises:
            Exception: Whatever the network's code raises, or vmap, which does not support every operation.
        """
        parts = [self._pass(on_tensors(part, Tensor.clone)) for part in split(inputs, self._samples)]
        outputs = parts[0] if len(parts) == 1 else on_outputs(lambda *of: torch.cat(of, dim=1), *parts)
        return [on_outputs(itemgetter(place), outputs) for place in range(self.number)]

    def _pass(self, inputs: Inputs) -> Any:
        args = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
        named = inputs if isinstance(inputs, dict) else {}

        def of_one(weights: dict[str, Tensor]) -> Any:
            return functional_call(self.network.model, weights, args, named)

        with _batched_only():
            return vmap(of_one)(self._stacks)


@contextmanager
def _batched_only() -> Iterator[None]:
    """Refuse operations that vmap would compute chip by chip, and use attention in the form that is not one of them."""
    functorch: Any = torch._C._functorch  # vmap has no public switch for this
    fused, by_chip = torch.backends.mha.get_fastpath_enabled(), functorch._is_vmap_fallback_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    functorch._set_vmap_fallback_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        functorch._set_vmap_fallback_enabled(by_chip)


def many_chips(network: Backend, behaviour: Behaviour, example: Inputs, batch_size: int) -> ManyChips | None:
    """Return the network with the weights of as many chips as pay and fit, or None if it computes one at a time.

    It does if a chip is more than its weights (converters, noise that is new in every MVM, weights that the network's
    code computes), if the samples of a batch see each other, if ``vmap`` does not support what the network does, and
    where many at once do not pay or fit (:func:`chips_at_once`).

    Args:
        network: The network of one chip at a time. It becomes the one with exact weights.
        behaviour: What the network does with ``example``.
        example: Inputs of a few samples.
        batch_size: Largest number of samples in a forward pass.
    """
    if not network.written or behaviour.joint:
        return None
    weight_bytes = sum(parameter.nbytes for parameter in network.written.values())
    number = chips_at_once(weight_bytes, behaviour.sample_bytes * batch_size, behaviour.outputs.device)
    if number == 1:
        return None
    network.load_exact()
    wanted = main_output(network.outputs(example))
    try:
        many = ManyChips(network, number)
        errors = [_relative_error(main_output(outputs), wanted) for outputs in many(example)]
    except Exception:  # vmap's own, for an operation or control flow that it does not support
        return None
    return many if all(error <= rounding(wanted) for error in errors) else None  # NaN is not <=


def _relative_error(outputs: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to the largest output."""
    if outputs.shape != wanted.shape:
        return float("inf")
    return float((outputs.double() - wanted.double()).abs().max() / wanted.double().abs().max().clamp(min=1e-30))
