"""Arrays that the sampler programs, and the standard normal numbers that it draws for them."""

from __future__ import annotations

import torch

from devices.papers.device import Numbers
from driftproof._devices import ProgrammedArray, generator, program
from driftproof._presets import DevicePreset

SEED, CHIP, LAYER = 3, 2, "block.fc"
DAY, YEAR = 86_400.0, 31_536_000.0


def targets(rows: int = 6, columns: int = 50) -> torch.Tensor:
    """Weights over the whole range: none, small, middle and largest of both signs, and others between."""
    chosen = torch.tensor([0.0, 0.0033, 0.00335, 0.01, 0.05, 0.1, 0.251, 0.47, 0.73, 0.99, 1.0])
    others = torch.rand(rows * columns - 2 * len(chosen), generator=torch.Generator().manual_seed(5)) * 2 - 1
    return torch.cat([chosen, -chosen, others]).view(rows, columns)


def programmed(preset: DevicePreset, target: torch.Tensor, groups: int = 1) -> ProgrammedArray:
    return program(preset, target, seed=SEED, chip=CHIP, layer=LAYER, groups=groups)


def drawn(purpose: str, n: int, t_s: float | None = None) -> list[float]:
    """The numbers of a key, by the public generator: one for each layer, chip, purpose and read-out time."""
    source = generator(SEED, CHIP, LAYER, purpose, torch.device("cpu"), t_s)
    numbers: list[float] = torch.empty(n).normal_(generator=source).tolist()
    return numbers


def numbers(mark: str, n: int, t_s: float) -> list[Numbers]:
    """What n devices of one mark have drawn: for life, and for the read-out at a time."""
    life, after = drawn(f"program{mark}", n), drawn(f"drift{mark}", n)
    read, used, stuck = drawn(f"read{mark}", n, t_s), drawn(f"read{mark}|use", n, t_s), drawn(f"stuck{mark}", n)
    steps = zip(*(drawn(f"step{number}{mark}", n) for number in range(1, 6)), strict=True)
    return [Numbers(*each) for each in zip(life, after, read, used, stuck, steps, strict=True)]
