"""What a file keeps of a device: plain values, and tensors beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from driftproof.errors import DriftproofError

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof.devices.device import Device


class SavedDevice(Protocol):
    """The values that are written of a device; a model of pydantic whose ``kind`` tells it from other forms."""

    @property
    def sha256(self) -> str:
        """Of the device."""

    def device(self, tensors: dict[str, Tensor], path: Path) -> Device:
        """Return the device.

        Args:
            tensors: of the whole file, by name.
            path: of the file that they were read from.

        Raises:
            DriftproofError: a tensor that is missing or of another shape.
        """


def tensor(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a float32 tensor by its name in the file.

    Raises:
        DriftproofError: there is none, or it has another shape or kind of number.
    """
    import torch

    found = tensors.get(name)
    if found is None:
        raise DriftproofError(f"no tensor {name!r} in the file of weights: it was changed; save anew")
    if found.dtype != torch.float32 or (shape is not None and tuple(found.shape) != shape):
        raise DriftproofError(
            f"tensor {name!r} is {found.dtype} {list(found.shape)}; wanted torch.float32"
            f"{'' if shape is None else f' {list(shape)}'}: the file was changed; save anew"
        )
    return found
