"""What a training step costs, relative to plain SGD: RWP, SAM, and the memory that they take.

Every round runs every method, so that a slow moment of the machine slows all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from gpu.part import DEVICE, ON_CPU, PCM, Part, images, paired_ratios, peak_mib
from torch.nn import functional as F

import driftproof as dp
from driftproof.training import Method
from driftproof.zoo import resnet20

METHODS: dict[str, Callable[[], Method]] = {
    "plain SGD": dp.Plain,
    "RWP, Gaussian 10 %": lambda: dp.RWP(noise="gaussian:0.1"),
    "RWP, PCM at 1 year": lambda: dp.RWP(noise=f"{PCM}@1y"),
    "SAM": lambda: dp.SAM(rho=0.05),
}


def step_of(method: Method, batch: int, steps: int) -> Callable[[], None]:
    """Return some steps of a method."""
    torch.manual_seed(0)
    network = resnet20().to(DEVICE).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    inputs = images(batch, 3, 32).to(DEVICE, memory_format=torch.channels_last)
    labels = torch.arange(batch, device=DEVICE) % 10

    def run() -> None:
        for _ in range(steps):
            method.step(lambda: F.cross_entropy(network(inputs), labels), network, optimizer)

    return run


def main() -> None:
    part = Part()
    batch, steps, rounds = (16, 1, 3) if ON_CPU else (128, 5, 25)
    if ON_CPU:
        part.skip("batches of 128, 25 rounds of 5 steps, and peak memory of the GPU: no GPU")
    made, peaks = {}, {}
    for name, make in METHODS.items():
        made[name] = step_of(make(), batch, steps)
        peaks[name] = peak_mib(made[name])
    for name, (seconds, ratio) in paired_ratios(made, rounds).items():
        times = {"seconds": f"{seconds / steps:.4g}", "to_plain": f"{ratio:.2f}"}
        part.add(method=name, batch=batch, **times, peak_mib=peaks[name])


if __name__ == "__main__":
    main()
