"""The form in which a file stores a device: plain values, and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof._devices.device import Device


class SavedDevice(Protocol):
    """The plain values of a device in a file: a pydantic model whose field ``kind`` names the form."""

    @property
    def sha256(self) -> str:
        """Hash of the device."""

    def device(self, tensors: dict[str, Tensor], path: Path) -> Device:
        """Return the device.

        Args:
            tensors: Tensors of the whole file, by name.
            path: Path of the file.

        Raises:
            DriftproofError: If a tensor is missing or has another shape.
        """


def tensor(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a float32 tensor by its name in the file.

    Raises:
        DriftproofError: If there is none, or if it has another shape or type.
    """
    import torch

    value = tensors.get(name)
    if value is None:
        raise DriftproofError(f"no tensor {name!r} in the file of weights: the file was changed; save again")
    if value.dtype != torch.float32 or (shape is not None and tuple(value.shape) != shape):
        raise DriftproofError(
            f"tensor {name!r} is {value.dtype} {list(value.shape)}; wanted torch.float32"
            f"{'' if shape is None else f' {list(shape)}'}: the file was changed; save again"
        )
    return value
