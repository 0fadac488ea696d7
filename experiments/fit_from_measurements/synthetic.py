"""Measurements of a preset's devices as a laboratory would have them, drawn by the package's own sampler."""

from __future__ import annotations

from pathlib import Path

import torch

from driftproof import load_preset
from driftproof.devices import program
from driftproof.laws import OneOverFRead, PolynomialProgramming, PowerDrift, curve_values

PRESET = "pcm-nandakumar-2019"
DEVICES = 2000
TIMES_S = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 3e5, 1e6)
# with and without devices that are meant to be at zero: half of every network's devices are
DESIGNS = {"from 1 uS": (1.0, 2.5, 5.0, 10.0, 17.5, 25.0), "from 0 uS": (0.0, 1.0, 2.5, 5.0, 12.5, 25.0)}
G_MAX_US = 25.0


def write_measurements(path: Path, design: str, seed: int) -> None:
    """Write the readings of 2,000 devices at 8 times; each level has a sixth of them."""
    levels = torch.tensor(DESIGNS[design])
    target = levels[torch.arange(DEVICES) % len(levels)]
    array = program(load_preset(PRESET), (target / G_MAX_US)[None], seed=seed, chip=0, layer="measured")
    readings = [array.conductances(t_s)[0][0].tolist() for t_s in TIMES_S]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("device,g_target_us,t_s,g_us\n")
        for device, g_target in enumerate(target.tolist()):
            for t_s, g_us in zip(TIMES_S, readings, strict=True):
                file.write(f"d{device:04d},{g_target:g},{t_s:g},{g_us[device]:.8g}\n")


def truth(design: str) -> dict[str, float]:
    """Return what each parameter of a fit would be without error: the preset's numbers, its curves at the levels."""
    preset = load_preset(PRESET)
    programming, drift, read = preset.programming, preset.drift, preset.read
    assert isinstance(programming, PolynomialProgramming)
    assert isinstance(drift, PowerDrift)
    assert isinstance(read, OneOverFRead)
    found = {f"sigma_us.{i}": c for i, c in enumerate(programming.sigma_us)}
    for level in DESIGNS[design]:
        if level:
            r = torch.tensor([level / G_MAX_US])
            found[f"nu_mean at {level:g} µS"] = float(curve_values(drift.nu_mean, r))
            found[f"nu_sd at {level:g} µS"] = float(curve_values(drift.nu_sd, r))
    q = read.q[0]
    assert q.scale is not None
    assert q.exponent is not None
    assert q.max is not None
    return found | {"q.scale": q.scale, "q.exponent": q.exponent, "q.max": q.max}
