"""Keep a dispatch mode out of the reach of torch's compiler, without loading the compiler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_COMPILER = "torch._dynamo"


class _Watch:
    """A finder of modules that finds none: it hides a mode at the moment when torch's compiler is first imported."""

    def __init__(self, mode: type[TorchDispatchMode]) -> None:
        self._mode = mode

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name == _COMPILER:
            _hide(self._mode)
            sys.meta_path.remove(self)


def hidden_from_compiler(mode: type[TorchDispatchMode]) -> None:
    """Have torch's compiler leave the code of a dispatch mode alone.

    torch does so by a wrapper that imports its compiler at the first call, which takes seconds, whether or not anything
    is compiled. Here the wrapper is put on when something else imports the compiler: a compiled network, or
    :func:`torch.cond` in the middle of a pass.
    """
    if _COMPILER in sys.modules:
        _hide(mode)
    else:
        sys.meta_path.insert(0, _Watch(mode))


def _hide(mode: type[TorchDispatchMode]) -> None:
    mode.__torch_dispatch__ = torch._disable_dynamo(mode.__torch_dispatch__, recursive=True)  # type: ignore[method-assign]
