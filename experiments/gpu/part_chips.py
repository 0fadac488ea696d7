"""Chips per second against the number of chips in one forward pass, and the memory that they take.

The time is the difference of two evaluations, of few and of many chips: what is made once does not count. The package
chooses the number of chips itself and has no option for it. It is set here in its private module.
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any

import torch
from gpu.part import DEVICE, ON_CPU, PCM, Part, images, peak_mib, seconds_of, small_network
from torch import nn

import driftproof as dp
from driftproof.zoo import resnet20


def many_chips() -> ModuleType | None:
    """Return the module that computes many chips at once, or None in a version without it."""
    try:
        return importlib.import_module("driftproof.evaluation._many_chips")
    except ModuleNotFoundError:
        return None


def count_passes(module: ModuleType) -> list[int]:
    """Return a list to which every forward pass of K chips adds K from now on."""
    passes: list[int] = []
    compute = module.ManyChips.__call__

    def counted(many: Any, inputs: Any) -> Any:
        passes.append(many.number)
        return compute(many, inputs)

    module.ManyChips.__call__ = counted
    return passes


def rate(network: nn.Module, data: Any, at_once: int, passes: int) -> tuple[float | None, float | str]:
    """Return chips per second and the peak memory.

    There is no rate (None) if the longer evaluation took no longer than the shorter one.
    """

    def evaluate(chips: int) -> None:
        dp.evaluate(
            network, data, presets=PCM, times="1d", chips=chips, torch_device=DEVICE, progress=False, batch_size=250
        ).close()

    few, many = at_once, at_once * (1 + passes)
    memory = peak_mib(lambda: evaluate(few))  # kernels are chosen here, too
    seconds = seconds_of(lambda: evaluate(many)) - seconds_of(lambda: evaluate(few))
    return ((many - few) / seconds if seconds > 0 else None), memory


def main() -> None:
    part, module = Part(), many_chips()
    passes = [] if module is None else count_passes(module)
    warnings.simplefilter("ignore", dp.DriftproofWarning)
    torch.manual_seed(0)
    samples = 50 if ON_CPU else 1000
    labels = torch.arange(samples) % 10
    tasks = {"small network, 8 × 8": (small_network(), (images(samples, 1, 8), labels))}
    tasks["ResNet-20, 32 × 32"] = (resnet20().eval(), (images(samples, 3, 32), labels))
    numbers = [1, 2] if ON_CPU else [1, 2, 4, 8, 16, 32]
    if module is None:
        part.skip("several chips at once: this version computes one at a time")
        numbers = [1]
    if ON_CPU:
        part.skip("more than 2 chips at once, most samples, and peak memory of the GPU: no GPU")
    for name, (network, data) in tasks.items():
        first: float | None = None
        for number in numbers:
            if not part.in_time:
                part.skip(f"{name}, {number} chips at once: no time was left")
                continue
            if module is not None:
                module.chips_at_once = lambda *_, number=number: number  # type: ignore[attr-defined]
            passes.clear()
            found, memory = rate(network, data, number, passes=2 if ON_CPU else max(2, 64 // number))
            # each of the three evaluations tries one pass, and computes one at a time if its outputs are not right
            if number > 1 and len(passes) <= 3:
                part.skip(
                    f"{name}, {number} chips at once: the network does not run so, and was computed one at a time"
                )
                continue
            if found is None:
                part.skip(f"{name}, {number} chips at once: more chips took no longer than fewer, too short to time")
                continue
            first = first or found
            row = {"chips_per_second": f"{found:.3g}", "to_one": f"{found / first:.2f}", "peak_mib": memory}
            part.add(network=name, samples=samples, chips_at_once=number, **row)


if __name__ == "__main__":
    main()
