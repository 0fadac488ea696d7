"""Torch functions that multiply by several weights, as code whose individual products can be seen."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls.recurrent import RECURRENT
from driftproof._errors import DriftproofError


def _with_its_products(function: Any) -> Callable[..., Any]:
    """Return a Python function of torch that runs its body although a function mode is active."""
    scope = {**function.__globals__, "has_torch_function": lambda _: False}
    made = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _grouped_mm(
    mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype: Any = None
) -> Tensor:
    """Multiply [Σ rows, in] by [experts, in, out]: the rows up to ``offs[e]`` by expert e (mixtures of experts)."""
    if offs is None or mat_a.dim() != 2 or bias is not None:
        raise DriftproofError("grouped product: wanted rows [N, in] with the end of each expert's rows, and no bias")
    ends = offs.tolist()
    out = mat_a.new_zeros(len(mat_a), mat_b.shape[-1], dtype=out_dtype or mat_a.dtype)
    for expert, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end > start:
            out[start:end] = torch.matmul(mat_a[start:end], mat_b[expert])
    return out


_GROUPED = [getattr(owner, name) for owner, name in ((torch, "_grouped_mm"), (F, "grouped_mm")) if hasattr(owner, name)]
COMPOSITES: dict[Any, Callable[..., Any]] = {
    F.multi_head_attention_forward: _with_its_products(F.multi_head_attention_forward),
    **RECURRENT,
    **dict.fromkeys(_GROUPED, _grouped_mm),
}

SAMPLES_SECOND = {F.multi_head_attention_forward, *RECURRENT}
"""Functions that multiply [steps, samples, features], or [steps · samples, features]."""
