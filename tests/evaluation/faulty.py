"""A network with faults that strike in worker processes only, and some of them once."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from driftproof.zoo import trained_digits_cnn


class Faulty(nn.Module):
    """The digits network.

    Args:
        fault: What happens before a pass in another process than this one.
        once: File whose removal allows one fault (default: the fault strikes every time).
    """

    def __init__(self, fault: Callable[[Tensor], None], once: Path | None = None) -> None:
        super().__init__()
        self.network, self.fault, self.once, self.home = trained_digits_cnn(), fault, once, os.getpid()
        if once is not None:
            once.touch()

    def forward(self, x: Tensor) -> Tensor:
        # a network is looked at with a few samples, before it is measured with more
        if os.getpid() != self.home and len(x) > 10 and self._strikes():
            self.fault(x)
        outputs: Tensor = self.network(x)
        return outputs

    def _strikes(self) -> bool:
        if self.once is None:
            return True
        try:
            self.once.unlink()
        except FileNotFoundError:
            return False
        return True


def die(_: Tensor) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(_: Tensor) -> None:
    time.sleep(10_000)


def be_slow(_: Tensor) -> None:
    time.sleep(0.2)


def want_memory(x: Tensor) -> None:
    """Allocate what no machine has, for more than 15 samples at once."""
    if len(x) > 15:
        torch.empty(1 << 50)


def fail(_: Tensor) -> None:
    raise KeyError("not on my watch")


def grumble(_: Tensor) -> None:
    warnings.warn("this network grumbles", RuntimeWarning, stacklevel=2)
