"""What does programming a chip cost, relative to drawing as many normal numbers? See README.md.

    python experiments/chip_cost/run.py [--repeats 9]

The chips have ResNet-18's weights. Times are medians of paired runs in one process. Memory is measured in a separate
process (on Linux), which programs and reads one chip: its peak, less the state of the chip.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

import driftproof as dp

HERE = Path(__file__).parent
PRESETS = (
    *("pcm-nandakumar-2019", "pcm-hermes-2", "pcm-hermes-1", "reram-wan-2022", "reram-milo-2021", "reram-cmo-2pct"),
    *("sonos-agrawal-2022", "pcm-foundation-2025", "gaussian"),
)
YEAR = 31_536_000.0
MIB = 2**20


def draw(mapping: Any, numbers: int) -> float:
    """Return the seconds that torch takes to draw this many normal numbers per weight."""
    start = time.perf_counter()
    for mapped in mapping.weights.values():
        for _ in range(numbers):
            torch.randn(mapped.target.numel())
    return time.perf_counter() - start


def status(key: str) -> float:
    """Return an entry of this process's status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def state_of(chip: dp.Chip) -> list[Tensor]:
    """Return the numbers that the devices of a chip keep for life, without those of reference columns."""
    return [layer[part] for layer in chip.state().values() for part in ("first", "life") if part in layer]


def measure_memory(name: str, mapping: Any) -> None:
    """Print the memory in MiB that programming and reading the first chip take beyond its state.

    Call it in a separate process.
    """
    preset, program = dp.load_preset(name), dp.Chip  # loads their modules first
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the memory
    before = status("VmRSS")
    chip = program(mapping, preset, seed=0, chip=0, compensation="none")
    programming = status("VmHWM") - before - sum(numbers.nbytes for numbers in state_of(chip)) / MIB
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    for array in chip.arrays.values():
        array.net(YEAR)
    print(programming, status("VmHWM") - before)


def memory_of(name: str) -> tuple[float, float]:
    """Return the temporary memory of programming and of reading, in MiB.

    The allocator is set to return memory to the system at once.
    """
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    command = [sys.executable, __file__, "--memory", name]
    programming, reading = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    return float(programming), float(reading)


def measure(name: str, mapping: Any, repeats: int) -> dict[str, object]:
    """Measure one preset; each chip is programmed into the memory of the one before it."""
    preset, programmer = dp.load_preset(name), dp.Programmer()
    sizes = [mapped.target.numel() for mapped in mapping.weights.values()]
    largest = max(sizes) * 4 / MIB
    chip = programmer.program(mapping, preset, seed=0, chip=0, compensation="none")
    state = sum(kept.numel() for kept in state_of(chip)) / sum(sizes)
    programming, reading = memory_of(name)
    normal: list[float] = []
    program: list[float] = []
    drift: list[float] = []
    read: list[float] = []
    for number in range(1, repeats + 1):
        normal.append(draw(mapping, round(state)))
        start = time.perf_counter()
        chip = programmer.program(mapping, preset, seed=0, chip=number, compensation="none")
        program.append(time.perf_counter() - start)
        for times, noise in ((drift, False), (read, True)):
            start = time.perf_counter()
            for array in chip.arrays.values():
                array.net(YEAR, read_noise=noise)
            times.append(time.perf_counter() - start)
    ratio = statistics.median((p + d) / n for p, d, n in zip(program, drift, normal, strict=True))
    return {
        "preset": name,
        "normals_per_weight": round(state),
        "randn_s": round(statistics.median(normal), 4),
        "program_s": round(statistics.median(program), 4),
        "drift_s": round(statistics.median(drift), 4),
        "drift_and_read_s": round(statistics.median(read), 4),
        "program_and_drift_over_randn": round(ratio, 2),
        "state_in_weights_per_pair": round(state, 2),
        "temporaries_programming_over_largest_layer": round(programming / largest, 2),
        "temporaries_reading_over_largest_layer": round(reading / largest, 2),
    }


def main() -> None:
    """Measure every preset and write results.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--memory", metavar="PRESET", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    mapping = dp.map_model(torchvision.models.resnet18())
    if arguments.memory:
        measure_memory(arguments.memory, mapping)
        return
    repeats = arguments.repeats
    measure(PRESETS[0], mapping, 3)  # the first chip of a process is slower, because its memory is fresh
    rows = [measure(name, mapping, repeats) for name in PRESETS]
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
