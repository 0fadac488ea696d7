"""The settings of torch that decide the last bits of a number, for workers that are to compute the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch

_BACKENDS: Any = torch.backends  # whose settings have no types
_CUDNN = ("enabled", "benchmark", "deterministic")


@dataclass(frozen=True)
class TorchSettings:
    """Settings of torch in a process.

    Attributes:
        dtype: Type of new tensors.
        matmul: Precision of float32 products, if it was set for all parts of torch together; else an empty text.
        precision: How float32 products and convolutions are computed, by the parts of torch that compute them.
        deterministic: Whether algorithms must be deterministic.
        mkldnn: Whether oneDNN computes on the CPU.
        cudnn: Whether cuDNN computes on the GPU, tries algorithms out, and must be deterministic.
    """

    dtype: torch.dtype
    matmul: str
    precision: tuple[str, ...]
    deterministic: bool
    mkldnn: bool
    cudnn: tuple[bool, ...]

    @classmethod
    def now(cls) -> Self:
        """Return the settings of this process."""
        return cls(
            torch.get_default_dtype(),
            _matmul(),
            tuple(part.fp32_precision for part in _parts()),
            torch.are_deterministic_algorithms_enabled(),
            _BACKENDS.mkldnn.enabled,
            tuple(getattr(_BACKENDS.cudnn, name) for name in _CUDNN),
        )

    def apply(self) -> None:
        """Make these the settings of this process.

        >>> TorchSettings.now().apply()
        """
        torch.set_default_dtype(self.dtype)
        if self.matmul and self.matmul != _matmul():
            torch.set_float32_matmul_precision(self.matmul)
        for part, precision in zip(_parts(), self.precision, strict=True):
            if part.fp32_precision != precision:  # once set, torch refuses to say it for all parts together
                part.fp32_precision = precision
        torch.use_deterministic_algorithms(self.deterministic)
        _BACKENDS.mkldnn.set_flags(self.mkldnn)
        for name, value in zip(_CUDNN, self.cudnn, strict=True):
            setattr(_BACKENDS.cudnn, name, value)


def _matmul() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return ""


def _parts() -> tuple[Any, ...]:
    mkldnn, cudnn = _BACKENDS.mkldnn, _BACKENDS.cudnn
    return _BACKENDS, mkldnn, mkldnn.matmul, mkldnn.conv, _BACKENDS.cuda.matmul, cudnn, cudnn.conv
