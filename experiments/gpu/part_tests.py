"""The tests that want a GPU: those of tests/test_on_cuda.py, and of tests/devices those of CUDA."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from gpu.part import ON_CPU, Part

TOP = Path(__file__).parents[2]
NEED_AIHWKIT = (
    "both_backends_agree",
    "converted_network_and_its",
    "users_things_stay",
    "perfect_device_gives",
    "tiles",
)
NEED_DIGITS = (
    "evaluation_repeats_itself",
    "both_backends_agree",
    "converted_network_and_its",
    "products_in_tf32",
    "users_things_stay",
)
ON_A_CPU = "plain_loop_bit_for_bit or gradient_without_a_step or quantised_weights or recalibration_and_validation"


def main() -> None:
    part = Part()
    left_out: set[str] = set()
    for package, names in (("aihwkit", NEED_AIHWKIT), ("sklearn", NEED_DIGITS)):
        if importlib.util.find_spec(package) is None:
            part.skip(f"tests that need {package}, which is not installed: {', '.join(names)}")
            left_out |= set(names)
    allowed = []
    if importlib.util.find_spec("numba") is None:
        part.skip("compiled loops on the CPU: numba is not installed; operators take their place")
        allowed = ["-W", "ignore:numba cannot be imported:driftproof.DriftproofWarning"]
    chosen = " and ".join(f"not {name}" for name in sorted(left_out))
    files = {"tests/test_on_cuda.py": chosen}
    for name in ("test_array.py", "test_sample_numbers.py"):
        files[f"tests/devices/{name}"] = "test_cuda"
    environment = dict(os.environ)
    if ON_CPU:
        part.skip("all tests but a few of tests/test_on_cuda.py, which are tried out on the CPU: no GPU")
        environment["DRIFTPROOF_TEST_DEVICE"] = "cpu"
        files = {"tests/test_on_cuda.py": f"({ON_A_CPU})" + (f" and {chosen}" if chosen else "")}
    failed = 0
    for file, wanted in files.items():
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *allowed, file, "-k", wanted]
        done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout[-6000:], done.stderr[-2000:], flush=True)
        counts = {
            word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)
        }
        if counts.get("skipped"):
            part.skip(f"{counts['skipped']} tests of {file}, for the reasons that pytest printed")
        failed += done.returncode != 0 or not counts.get("passed")
        part.add(file=file, exit_code=done.returncode, **counts)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
