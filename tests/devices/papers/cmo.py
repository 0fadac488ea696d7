"""CMO/HfOx ReRAM, D. F. Falcone et al., arXiv:2502.04524, as aihwkit's ReRamCMONoiseModel has it.

G + a ln t + (b ln t + c) ξ with one ξ per device for life; ln t counts as 0 before 1 s, and nothing has relaxed at the
end of programming. Read noise K log10(G / 1 µS) √ln((t + t_read)/(2 t_read)), none where log10 or ln is not positive.
"""

from __future__ import annotations

import math
from functools import partial

from devices.papers.device import Numbers, Reading, Spectrum


def law(line: tuple[float, float], target_us: float, xi: Numbers, t_s: float, t_read_s: float = 1e-6) -> Reading:
    g = max(0.0, target_us + (line[0] + line[1] * target_us) * xi.program)
    if t_s > 0:
        log_t = max(math.log(t_s), 0.0)
        g = max(0.0, g - 0.08900206 * log_t + (0.04201137 * log_t + 0.41183342) * xi.drift)
    log = math.log((t_s + t_read_s) / (2 * t_read_s))
    return Reading(g, 0.0277316483 * math.log10(g) * math.sqrt(log) if g > 1 and log > 0 else 0.0)


SPECTRUM = Spectrum(0.0, 1e-6)
within_2_percent = partial(law, (0.0112185391, 0.01129027418))
within_02_percent = partial(law, (0.00081107, 0.00106879))
