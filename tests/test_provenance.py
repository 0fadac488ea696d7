"""A result says which commit of driftproof made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driftproof._provenance import describe_run, model_hash
from driftproof.zoo import trained_digits_cnn

TOP = Path(__file__).parents[1]


def test_a_checkout_says_its_commit() -> None:
    git = subprocess.run(["git", "-C", str(TOP), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    run = describe_run(batch_size=1)
    assert run.commit == git.stdout.strip()
    assert run.dirty is not None


def test_a_network_of_the_package_keeps_its_hash() -> None:
    """Records of version 0.1 hold this hash: it may not follow the modules that became private."""
    assert model_hash(trained_digits_cnn()) == "01b749df0f04a55d3f1934b9862e0ba1ade446f5dce5fc883c2bd20801b1360f"
