"""Peak memory of evaluating few and many chips, each in a process of its own.

``python -m driftproof.bench._memory CHIPS`` evaluates, and prints its peak in bytes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from driftproof._errors import DriftproofError
from driftproof.bench._cells import DEVICE
from driftproof.plans import evaluate
from driftproof.zoo import trained_digits_cnn

SAMPLES = 500


def peak_bytes(chips: int) -> int:
    """Return the peak memory in bytes of a new process that evaluates a small network on some chips at two times.

    Raises:
        DriftproofError: The process failed.
    """
    command = [sys.executable, "-m", __name__, str(chips)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DriftproofError(f"the process that evaluates {chips} chips failed: {said}")
    return int(done.stdout.split()[-1])


def _evaluate(chips: int) -> None:
    data = torch.linspace(0, 1, SAMPLES * 64).reshape(SAMPLES, 1, 8, 8), torch.arange(SAMPLES) % 10
    with tempfile.TemporaryDirectory() as folder:
        evaluate(
            trained_digits_cnn(), data, presets=DEVICE, times=["1s", "1d"], chips=chips, out=folder, progress=False
        ).close()


def _own_peak() -> int:
    """Return the peak of this process in bytes. ``ru_maxrss`` of a child counts its parent's memory on Linux."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)):
        return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    _evaluate(int(sys.argv[1]))
    print(_own_peak())
