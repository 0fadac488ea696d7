"""Write what a probe station writes: here of a synthetic ReRAM, so that the right answer is known."""

import sys
from pathlib import Path

import numpy as np

draw = np.random.default_rng(7)
lines = ["! Parameter analyser, export of 2026-03-14", "! sweep: read at 0.1 V", ""]
lines.append("Cell ID;Goal (µS);Elapsed time (s);I meas (A)")
for cell in range(90):
    goal = (5, 20, 40, 60, 80, 100)[cell % 6]
    programmed = goal + draw.normal(0, 1.0 + 1.5 * goal / 100)
    exponent = max(0.0, draw.normal(0.008, 0.006))
    for seconds in (1, 60, 3600, 86400):
        conductance = programmed * ((seconds + 20) / 20) ** -exponent * (1 + draw.normal(0, 0.004))
        cells = f"W2-{cell:03d}", f"{goal}", f"{seconds}", f"{conductance * 0.1 * 1e-6:.5e}"
        lines.append(";".join(cells).replace(".", ","))
Path(sys.argv[1]).write_bytes("\r\n".join([*lines, ""]).encode("latin-1"))
