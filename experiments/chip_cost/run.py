"""What a chip costs: ResNet-18's weights programmed and drifted, against drawing as many normal numbers.

    python experiments/chip_cost/run.py [--repeats 9]

Times are medians of paired runs in one process. Memory is that of a process of its own which makes and reads one chip
(Linux): what it takes at most, less the chip's state.
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

import torch
import torchvision

from driftproof.chip import Chip, Programmer
from driftproof.devices import ProgrammedArray
from driftproof.mapping import Mapping, map_model
from driftproof.presets import DevicePreset, load_preset

HERE = Path(__file__).parent
PRESETS = (
    *("pcm-nandakumar-2019", "pcm-hermes-2", "pcm-hermes-1", "reram-wan-2022", "reram-milo-2021", "reram-cmo-2pct"),
    *("sonos-agrawal-2022", "pcm-foundation-2025", "gaussian"),
)
YEAR = 31_536_000.0
MIB = 2**20


def normals_of(preset: DevicePreset, banks: int) -> int:
    """How many normal numbers a weight's devices keep for life: programming, and drift if there is any."""
    return banks * ((preset.programming.law != "none") + (preset.drift is not None))


def draw(mapping: Mapping, numbers: int) -> float:
    """Seconds that torch takes for so many normal numbers a weight."""
    start = time.perf_counter()
    for mapped in mapping.weights.values():
        for _ in range(numbers):
            torch.randn(mapped.target.numel())
    return time.perf_counter() - start


def status(key: str) -> float:
    """A line of the process's status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def arrays_of(chip: Chip) -> list[ProgrammedArray]:
    """Return the arrays of a chip, none of which is measured."""
    return [array for array in chip.arrays.values() if isinstance(array, ProgrammedArray)]


def bytes_of(arrays: list[ProgrammedArray]) -> int:
    """Return how many bytes the state takes that their devices keep for life."""
    kept = [part for array in arrays for part in (array.first, array.life) if part is not None]
    return sum(int(part.nbytes) for part in kept)


def measure_memory(name: str, mapping: Mapping) -> None:
    """Print what making and reading the first chip takes beyond its state, in MiB: run in a process of its own."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    before = status("VmRSS")
    chip = Chip(mapping, load_preset(name), seed=0, chip=0, compensation="none")
    programming = status("VmHWM") - before - bytes_of(arrays_of(chip)) / MIB
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    for array in chip.arrays.values():
        array.net(YEAR)
    print(programming, status("VmHWM") - before)


def memory_of(name: str) -> tuple[float, float]:
    """Temporaries of programming and of reading in MiB, with an allocator that gives memory back at once."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    command = [sys.executable, __file__, "--memory", name]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    return float(found[0]), float(found[1])


def measure(name: str, mapping: Mapping, repeats: int) -> dict[str, object]:
    """Measure one preset: chips that take over the memory of the last one."""
    preset = load_preset(name)
    weights = sum(mapped.target.numel() for mapped in mapping.weights.values())
    largest = max(mapped.target.numel() for mapped in mapping.weights.values()) * 4 / MIB
    programmer = Programmer()
    arrays = arrays_of(programmer.program(mapping, preset, seed=0, chip=0, compensation="none"))
    state, banks = bytes_of(arrays), len(arrays[0].banks)
    del arrays
    programming, reading = memory_of(name)
    numbers = normals_of(preset, banks)
    normal: list[float] = []
    program: list[float] = []
    drift: list[float] = []
    read: list[float] = []
    for number in range(1, repeats + 1):
        normal.append(draw(mapping, numbers))
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
        "normals_per_weight": numbers,
        "randn_s": round(statistics.median(normal), 4),
        "program_s": round(statistics.median(program), 4),
        "drift_s": round(statistics.median(drift), 4),
        "drift_and_read_s": round(statistics.median(read), 4),
        "program_and_drift_over_randn": round(ratio, 2),
        "state_in_weights_per_pair": round(state / 4 / weights / max(1, banks / 2), 2),
        "temporaries_programming_over_largest_layer": round(programming / largest, 2),
        "temporaries_reading_over_largest_layer": round(reading / largest, 2),
    }


def main() -> None:
    """Measure every preset and write results.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--memory", metavar="PRESET", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    mapping = map_model(torchvision.models.resnet18())
    if arguments.memory:
        measure_memory(arguments.memory, mapping)
        return
    repeats = arguments.repeats
    measure(PRESETS[0], mapping, 3)  # the first one of a process finds cold memory
    rows = [measure(name, mapping, repeats) for name in PRESETS]
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
