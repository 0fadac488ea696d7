"""Measurements of a preset's devices as a laboratory would have them, taken from a simulated chip."""

from __future__ import annotations

import math
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from driftproof import Chip, TileSize, load_preset, map_model
from driftproof.measured import save_conductances

PRESET = "pcm-nandakumar-2019"
DEVICES = 2000
TIMES_S = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 3e5, 1e6)
# with and without devices whose target is zero: half of a network's devices have this target
DESIGNS = {"from 1 uS": (1.0, 2.5, 5.0, 10.0, 17.5, 25.0), "from 0 uS": (0.0, 1.0, 2.5, 5.0, 12.5, 25.0)}
G_MAX_US = 25.0


def write_measurements(path: Path, design: str, seed: int) -> None:
    """Write the readings of 2,000 devices at 8 times; one sixth of them has each target.

    They are the devices for G⁺ of a chip with one layer, whose weights are the targets.
    """
    levels = torch.tensor(DESIGNS[design])
    target = levels[torch.arange(DEVICES) % len(levels)]
    layer = nn.Linear(DEVICES, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(target / G_MAX_US)
    network = nn.Sequential(OrderedDict(measured=layer))
    chip = Chip(map_model(network, TileSize(DEVICES, 1)), load_preset(PRESET), seed=seed, chip=0, compensation="none")
    with tempfile.TemporaryDirectory() as folder:
        file = save_conductances(chip, folder, TIMES_S, name="synthetic") / "measured.npz"
        readings = np.load(file)["g_plus_us"][:, 0].tolist()
    with path.open("w", encoding="utf-8", newline="\n") as csv:
        csv.write("device,g_target_us,t_s,g_us\n")
        for device, g_target in enumerate(target.tolist()):
            for t_s, g_us in zip(TIMES_S, readings, strict=True):
                csv.write(f"d{device:04d},{g_target:g},{t_s:g},{g_us[device]:.8g}\n")


def truth(design: str) -> dict[str, float]:
    """Return the true value of each parameter of a fit: the preset's numbers, and its curves of ν at the targets."""
    preset = load_preset(PRESET).definition()
    parameters = {f"sigma_us.{i}": c for i, c in enumerate(preset["programming"]["sigma_us"])}
    for level in filter(None, DESIGNS[design]):
        parameters[f"nu_mean at {level:g} µS"] = clipped_logarithm(preset["drift"]["nu_mean"], level / G_MAX_US)
        parameters[f"nu_sd at {level:g} µS"] = clipped_logarithm(preset["drift"]["nu_sd"], level / G_MAX_US)
    (q,) = preset["read"]["q"]
    return parameters | {"q.scale": q["scale"], "q.exponent": q["exponent"], "q.max": q["max"]}


def clipped_logarithm(curve: list[dict[str, Any]], r: float) -> float:
    """Return ``per_ln_r`` · ln r + ``constant``, clipped to ``min`` and ``max``."""
    (piece,) = curve
    value = piece["per_ln_r"] * math.log(r) + piece["constant"]
    return float(min(max(value, piece["min"]), piece["max"]))
