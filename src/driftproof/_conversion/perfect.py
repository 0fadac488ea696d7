"""Perfect devices on tiles: where they do not give the digital network's outputs, it is said."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from driftproof._devices import Device
from driftproof._errors import DriftproofError, warn
from driftproof._inputs import Inputs, count, example_call, on_tensors, split
from driftproof._mapping import Mapping
from driftproof._mapping.quantised import ROUNDED_OTHERWISE, are_same
from driftproof._outputs import main_output

_SAMPLES = 64
_AGREEMENT = 1e-3
"""Largest relative difference of outputs by rounding that nothing enlarges: far above that of float32."""


def digital_outputs(network: nn.Module, mapping: Mapping, device: Device, example: Inputs | None) -> Tensor | None:
    """Return the digital network's outputs on the example, if perfect devices may differ from it; None otherwise.

    That is so for networks with quantised weights: sums of others lie on a threshold by chance only, which an example
    does not show.
    """
    if example is None or all(mapped.lost is None for mapped in mapping.weights.values()):
        return None
    if any(part.laws is None for part in device.parts):
        return None  # measured chips
    name, mapped = min(mapping.weights.items(), key=lambda item: item[1].target.numel())
    if device.relative_to(name) == "layer":
        mapped = mapped.layer_scaled()
    array = device.array(name, 0, mapped.target, seed=0, groups=mapped.layout.groups)
    time = device.validity.t_s[1]
    if array.mvm_read_noise(time) is not None or not are_same(array.net(time), mapped.target):
        return None  # noise hides all rounding
    return _outputs(network, example)


def warn_of_differences(network: nn.Module, digital: Tensor, example: Inputs) -> None:
    """Warn if a network on perfect devices has other outputs on the example than the digital network.

    Args:
        network: The network on tiles.
        digital: Outputs from :func:`digital_outputs`.
        example: The inputs of both.
    """
    outputs = _outputs(network, example)
    gap, largest = (outputs - digital).abs().double(), float(digital.abs().max())
    if float(gap.max()) <= _AGREEMENT * largest:
        return
    others = int((gap.reshape(len(gap), -1) > _AGREEMENT * largest).any(dim=1).sum()) if gap.dim() else 1
    warn(
        f"the network on perfect devices differs from the digital one by up to {float(gap.max()):.3g} in {others} of "
        f"{len(gap) if gap.dim() else 1} outputs of the example (the largest output is {largest:.3g}). "
        f"{ROUNDED_OTHERWISE}"
    )


def _outputs(network: nn.Module, example: Inputs) -> Tensor:
    few = example if count(example) <= _SAMPLES else next(iter(split(example, _SAMPLES)))
    try:
        outputs = example_call(network, on_tensors(few, torch.clone))
    except DriftproofError:
        if few is example:
            raise
        # a network that takes batches of one size only
        outputs = example_call(network, on_tensors(example, torch.clone))
    return main_output(outputs)
