"""What the parts share: the torch device, their results, their time, and paired timings."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ON_CPU = DEVICE == "cpu"
PCM, RERAM = "pcm-nandakumar-2019", "reram-wan-2022"


class Part:
    """The results of a part, which are written after every row.

    Attributes:
        rows: Rows of the part's table.
        skipped: What was left out, and why.
    """

    def __init__(self) -> None:
        self._path, self._limit_s, self._start = Path(sys.argv[1]), float(sys.argv[2]), time.monotonic()
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self._write()

    @property
    def in_time(self) -> bool:
        """Whether there is time for more."""
        return time.monotonic() - self._start < self._limit_s

    def add(self, **row: Any) -> None:
        """Add a row, and print it."""
        print("  ", row, flush=True)
        self.rows.append(row)
        self._write()

    def skip(self, text: str) -> None:
        """Say that something is left out."""
        print("   skipped:", text, flush=True)
        self.skipped.append(text)
        self._write()

    def _write(self) -> None:
        name = platform.processor() or platform.machine() if ON_CPU else torch.cuda.get_device_name()
        machine = {"device": f"{DEVICE} ({name})", "torch": torch.__version__, "python": platform.python_version()}
        found = {"machine": machine, "rows": self.rows, "skipped": self.skipped}
        self._path.write_text(json.dumps(found, indent=1) + "\n")


class SmallNetwork(nn.Module):
    """Two convolutions with BatchNorms and a linear layer for images of 8 × 8."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return]


def small_network() -> nn.Module:
    """Return the small network with random weights, the same every time."""
    torch.manual_seed(0)
    return SmallNetwork().eval()


def images(number: int, channels: int, side: int, seed: int = 0) -> Tensor:
    """Return random images, the same every time and on every device."""
    return torch.randn(number, channels, side, side, generator=torch.Generator().manual_seed(seed))


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long some work takes, with the kernels that it starts."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    """Wait for the GPU."""
    if not ON_CPU:
        torch.cuda.synchronize()


def paired_ratios(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each step, and the median over rounds of its ratio to the first step."""
    for step in steps.values():
        step()
    runs = [{name: seconds_of(step) for name, step in steps.items()} for _ in range(rounds)]
    first = next(iter(steps))
    return {
        name: (statistics.median(run[name] for run in runs), statistics.median(run[name] / run[first] for run in runs))
        for name in steps
    }


def peak_mib(work: Callable[[], object]) -> float | str:
    """Do some work, and return the memory that it takes at most on the GPU, in MiB; "" on a CPU."""
    if ON_CPU:
        work()
        return ""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
