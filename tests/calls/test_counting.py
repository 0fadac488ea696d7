"""Counting while a network runs does not load torch's compiler, and bears it when the network loads it."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
import torch
from driftproof._calls.counting import MacCounter

held = torch.ones(4, 4)
with MacCounter() as counter:
    torch.ones(3, 4) @ held
print(counter.macs, "torch._dynamo" in sys.modules)
for _ in range(2):
    with MacCounter() as counter:
        torch.cond(torch.tensor(True), lambda x: x @ held, lambda x: x, (torch.ones(3, 4),))
    print(counter.macs, "torch._dynamo" in sys.modules)
"""


def test_compiler_is_loaded_by_the_network_alone() -> None:
    # a new process: in this one, another test may have loaded the compiler
    run = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["48.0", "False", "48.0", "True", "48.0", "True"]
