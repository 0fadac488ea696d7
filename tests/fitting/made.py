"""Measurements drawn from a preset by the package's own sampler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from driftproof._devices import ONE_READ_OUT, program
from driftproof._presets import DevicePreset, load_preset
from driftproof.fitting._measurements import Measurements
from driftproof.laws._encoding import Conductances

PCM = load_preset("pcm-nandakumar-2019")
LEVELS = (1.0, 5.0, 10.0, 25.0)
TIMES = (1.0, 100.0, 1e3, 1e4, 1e5, 1e6)


def made(
    preset: DevicePreset = PCM,
    levels: Sequence[float] = LEVELS,
    times: Sequence[float] = TIMES,
    devices: int = 400,
    seed: int = 0,
    read_noise: bool = True,
    told_apart: bool = True,
) -> Measurements:
    """Return the readings of some devices, in turn of each level, at every time; ``group`` rows if not told apart."""
    target = torch.tensor(levels)[torch.arange(devices) % len(levels)]
    assert isinstance(preset.conductance, Conductances)
    low, high = preset.conductance.g_min_us, preset.conductance.g_max_us
    array = program(preset, ((target - low) / (high - low))[None], seed=seed, chip=0, layer="measured")
    # at each time one read-out, whose read noise is a single draw
    g = torch.stack([array.conductances(t, read_noise, ONE_READ_OUT.use)[0][0] for t in times], 1).double().numpy()
    who = [f"d{i}" if told_apart else f"wafer{i % 2}" for i in range(devices)]
    return Measurements(
        file="made.csv",
        sha256="0" * 64,
        told_apart=told_apart,
        who=tuple(np.repeat(who, len(times)).tolist()),
        target_us=np.repeat(target.double().numpy(), len(times)),
        t_s=np.tile(np.array(times), devices),
        g_us=g.ravel(),
        line=np.arange(2, 2 + g.size),
    )


def write_csv(path: Path, measurements: Measurements) -> Path:
    """Write measurements as a user's file."""
    rows = zip(measurements.who, measurements.target_us, measurements.t_s, measurements.g_us, strict=True)
    head = "device" if measurements.told_apart else "group"
    lines = [f"{head},g_target_us,t_s,g_us", *(f"{who},{target:g},{t:g},{g:.8g}" for who, target, t, g in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
