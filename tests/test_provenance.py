"""A result says which commit of driftproof made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driftproof._provenance import describe_run

TOP = Path(__file__).parents[1]


def test_a_checkout_says_its_commit() -> None:
    git = subprocess.run(["git", "-C", str(TOP), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    run = describe_run(batch_size=1)
    assert run.commit == git.stdout.strip()
    assert run.dirty is not None
