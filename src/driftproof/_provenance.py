"""The provenance of a result: hashes, versions, commit, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from driftproof._record import Run
from driftproof._sparse import dense_parts

_PACKAGES = ("driftproof", "torch", "aihwkit", "torchvision", "numpy")
_IF_USED = ("timm", "transformers")
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]{6,}")


def model_hash(model: nn.Module) -> str:
    """Return a hash of a network's structure and of every number in its parameters and buffers."""
    digest = hashlib.sha256(_text(model).encode())
    digest.update(" ".join(f"{_home(type(m))}.{type(m).__qualname__}" for m in model.modules()).encode())
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for part in dense_parts(tensor).values():
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _text(model: nn.Module) -> str:
    """Return a network's text without addresses, which differ in each process; its modules if it has no text."""
    try:
        text = str(model)
    except Exception:  # a network's own __repr__ may raise anything
        text = " ".join(f"{path} {type(module).__qualname__}" for path, module in model.named_modules())
    return _ADDRESS.sub("", text)


def _home(kind: type) -> str:
    """Return the module of a class, under the name that ours had before they were private: records hold its hash."""
    module = kind.__module__
    return module.replace("._", ".") if module.startswith("driftproof.") else module


def _program(path: Path) -> str:
    """Return the name of the program that runs; ``python -m driftproof`` has the name of the command."""
    return path.parent.name if path.name == "__main__.py" else path.name


def describe_run(batch_size: int, machine: Mapping[str, str] | None = None) -> Run:
    """Return the time, the versions, the commit and the machine of an evaluation.

    Args:
        batch_size: Number of samples in a forward pass.
        machine: What is to be noted about the machine beside this process, such as the number of worker processes, or
            in place of it.
    """
    commit, dirty = _commit()
    packages = [*_PACKAGES, *(name for name in _IF_USED if name in sys.modules)]
    return Run(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join([_program(Path(sys.argv[0])), *sys.argv[1:]]),
        versions={name: _version(name) for name in packages} | {"python": platform.python_version()},
        commit=commit,
        dirty=dirty,
        machine={
            "cpu": _cpu_name(),
            "cores": str(os.cpu_count()),
            "threads": str(torch.get_num_threads()),
            "os": platform.system(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        }
        | dict(machine or {}),
        batch_size=batch_size,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def _commit() -> tuple[str, bool | None]:
    """Return the commit of the driftproof checkout, and whether it has changes; ("", None) outside a checkout."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return "", None
    try:
        head, status = (
            subprocess.check_output(["git", "-C", str(top), *command], stderr=subprocess.DEVNULL, text=True, timeout=10)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return "", None
    return head.strip(), bool(status.strip())


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    name = re.search(r"^model name.*?:(.*)$", text, re.MULTILINE)
    return name[1].strip() if name else platform.processor() or platform.machine()
