"""Fits of CrossSim (sandialabs/cross-sim, simulator/devices/custom) without a time axis; target and σ in µS."""

from __future__ import annotations

from devices.papers.device import Numbers, Reading


def joshi(target_us: float, xi: Numbers, t_s: float) -> Reading:
    """PCM, V. Joshi et al., Nature Communications 2020 (10.1038/s41467-020-16108-9), Fig. 3b: PCM_Joshi.py."""
    sigma = -0.00178767 * target_us**2 + 0.07585724 * target_us + 0.28638599
    return Reading(max(0.0, target_us + sigma * xi.program))


def wan(target_us: float, xi: Numbers, t_s: float) -> Reading:
    """ReRAM, W. Wan et al., Nature 2022, Extended Data Fig. 3, 1 s: RRAM_Wan.py."""
    sigma = 1.536e-4 * target_us**3 - 1.167e-2 * target_us**2 + 2.374e-1 * target_us + 1.053
    return Reading(max(0.0, target_us + sigma * xi.program))


def milo(target_us: float, xi: Numbers, t_s: float) -> Reading:
    """ReRAM, V. Milo et al., IRPS 2021 (10.1109/IRPS46558.2021.9405119), Fig. 4, IGVVA-100: RRAM_Milo.py."""
    sigma = -0.009107 * target_us + 4.782321
    return Reading(max(0.0, target_us + sigma * xi.program))
