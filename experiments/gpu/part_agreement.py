"""Do a CPU and a GPU give the same answers? Digital outputs within rounding, and means over chips within their errors.

A chip of the GPU has other random numbers than that of the CPU, so chips are compared as samples of one law: Welch's
test of the means of the mean squared error against the digital outputs. All tests together fail by chance once in
10,000 runs.
"""

from __future__ import annotations

import itertools
import math
import sys
import warnings

import torch
from gpu.part import DEVICE, ON_CPU, PCM, RERAM, Part, images, small_network
from scipy import stats
from torch import Tensor

import driftproof as dp
from driftproof.periphery import DynamicRange, StaticRange, load_periphery

FALSE_ALARM = 1e-4
ROUNDING = 1e-4
"""Largest difference of digital outputs, relative to the largest output, of products in float32."""
STANDARD = load_periphery("standard").with_changes(adc_full_scale=30.0, input_range=StaticRange(method="maximum"))
PERIPHERIES = {
    "ideal": load_periphery("ideal"),
    "static": STANDARD,
    "dynamic": STANDARD.with_changes(input_range=DynamicRange()),
}
TIMES = ("1s", "1d")


def errors(torch_device: str, device: str, periphery: str, targets: Tensor, chips: int, seed: int) -> list[list[float]]:
    """Return the mean squared error of every chip at every time."""
    inputs = images(len(targets), 1, 8)
    record = dp.evaluate(
        small_network(),
        (inputs, targets),
        presets=device,
        times=TIMES,
        chips=chips,
        metric="mse",
        periphery=PERIPHERIES[periphery],
        calibration=None if periphery != "static" else (inputs, targets),
        torch_device=torch_device,
        seed=seed,
        progress=False,
    )
    cells = record.cells()
    mine = cells[cells["preset"] == device]
    return [list(mine[mine["t_s"] == t_s]["value"]) for t_s in sorted(set(mine["t_s"]))]


def main() -> None:
    part, failed = Part(), 0
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    warnings.simplefilter("ignore", dp.DriftproofWarning)  # of random inputs on a random network
    chips, samples = (10, 50) if ON_CPU else (60, 200)
    network, inputs = small_network(), images(samples, 1, 8)
    with torch.no_grad():
        targets = network(inputs)
        there = small_network().to(DEVICE)(inputs.to(DEVICE)).cpu()
    gap = float((targets - there).abs().max() / targets.abs().max())
    failed += not gap <= ROUNDING
    part.add(what="digital outputs", largest_relative_difference=f"{gap:.2g}", agree=gap <= ROUNDING)
    if ON_CPU:
        part.skip("the GPU's side: no GPU; chips of two seeds on the CPU are compared instead, and fewer of them")
    cases = list(itertools.product((PCM, RERAM), PERIPHERIES))
    limit = FALSE_ALARM / (len(cases) * len(TIMES))
    for number, (device, periphery) in enumerate(cases):
        if not part.in_time:
            part.skip(f"{len(cases) - number} of {len(cases)} comparisons of chips: no time was left")
            failed += 1
            break
        here = errors("cpu", device, periphery, targets, chips, seed=0)
        other = errors(DEVICE, device, periphery, targets, chips, seed=1)
        for time, a, b in zip(TIMES, here, other, strict=True):
            p = float(stats.ttest_ind(a, b, equal_var=False).pvalue)
            agree = not math.isnan(p) and p >= limit and len(a) == len(b) == chips
            failed += not agree
            means = {"cpu": f"{sum(a) / len(a):.4g}", DEVICE + " (2)" * ON_CPU: f"{sum(b) / len(b):.4g}"}
            part.add(what=f"{device}, {periphery}, {time}, {chips} chips", **means, p=f"{p:.2g}", agree=agree)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
