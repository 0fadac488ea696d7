"""Folders that cannot be written, for a child process: a full disk, a read-only folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def can_mount() -> bool:
    """Whether this process may mount a file system that only its children see."""
    if not shutil.which("unshare"):
        return False
    made = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return made.returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="this system lets no process mount a file system of its own")


def on_small_disk(folder: Path, size: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where ``folder`` is a file system of a size, which only the code sees.

    ``shell(WORDS)`` of the code runs a command there, such as one that mounts it read-only.
    """
    folder.mkdir(exist_ok=True)
    head = """
        import subprocess
        from synthetic_record import *
        from driftproof._errors import DriftproofError
        def shell(words):
            subprocess.run(words.split(), check=True)
    """
    program = textwrap.dedent(head) + f"FOLDER = {str(folder)!r}\n" + textwrap.dedent(code)
    mounted = f'mount -t tmpfs -o size={size} none "$1" && exec "$2" -c "$3"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, "sh", str(folder), sys.executable, program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
