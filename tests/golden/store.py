"""The golden files: one line of JSON a cell, sorted by name, so that a difference between commits names cells."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import torch

from golden.compute import Cell

FOLDER = Path(__file__).parent
FILES = {"cells": FOLDER / "cells.jsonl", "trainings": FOLDER / "trainings.jsonl", "plans": FOLDER / "plans.jsonl"}
FINGERPRINT = FOLDER / "fingerprint.json"

type Fingerprint = dict[str, str | int]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: golden numbers are then the same bits whatever the number of cores.

    It is also faster: the networks are so small that threads wait for each other most of the time.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fingerprint() -> Fingerprint:
    """Return what decides the last bit of a number: libraries, processor, and how they are used."""
    return {
        "torch": torch.__version__,
        "aihwkit": metadata.version("aihwkit"),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        # these two change the kernels, and no other entry shows it
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        "mkl_cbwr": os.environ.get("MKL_CBWR", ""),
    }


def _processor() -> str:
    """Return the processor's name with family and model: many processors have the same name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", platform.machine())
    return f"{name}, family {facts.get('cpu family', '?')}, model {facts.get('model', '?')}"


def stored_fingerprint() -> Fingerprint:
    """Return where the stored numbers were made."""
    found: Fingerprint = json.loads(FINGERPRINT.read_text(encoding="utf-8"))
    return found


def write_fingerprint() -> None:
    """Write down where the numbers are made."""
    FINGERPRINT.write_text(json.dumps(fingerprint(), indent=2) + "\n", encoding="utf-8")


def read(section: str) -> dict[str, Cell]:
    """Return the cells of a file by name; none if there is no file."""
    if not FILES[section].exists():
        return {}
    lines = FILES[section].read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return {entry.pop("id"): entry for entry in found}


def write(section: str, cells: dict[str, Cell]) -> None:
    """Write all cells of a file, sorted by name."""
    lines = [json.dumps({"id": name} | cells[name], separators=(",", ":")) for name in sorted(cells)]
    FILES[section].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
