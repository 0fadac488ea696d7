"""Random changes of images during training: the usual crops and flips of CIFAR."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Shift every image at random and mirror half of the images, as He et al. 2016 do for CIFAR with padding 4.

    The edge is filled with black: the smallest value of each channel in the batch, which is the value of zero in
    normalised images.

    Attributes:
        padding: Largest shift in pixels, in each direction (default: 4).
        flip: Whether half of the images are mirrored (default: True).

    >>> images = torch.arange(32.0).view(2, 1, 4, 4)
    >>> CropFlip(padding=1)(images, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 1, 4, 4])
    """

    padding: int = 4
    flip: bool = True

    def __call__(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        """Return the images [N, C, H, W] of a batch, each with its own random change."""
        if not isinstance(inputs, Tensor) or inputs.dim() != 4:
            raise DriftproofError("crop-flip wants images, one tensor [N, channels, height, width]")
        count, channels, height, width = inputs.shape
        pad = self.padding
        black = inputs.amin(dim=(0, 2, 3)).view(1, channels, 1, 1)
        wide = black.expand(count, -1, height + 2 * pad, width + 2 * pad).clone()
        wide[:, :, pad : pad + height, pad : pad + width] = inputs
        down = torch.randint(2 * pad + 1, (count, 1), generator=generator)
        right = torch.randint(2 * pad + 1, (count, 1), generator=generator)
        rows, columns = torch.arange(height) + down, torch.arange(width) + right
        if self.flip:
            mirrored = torch.rand((count, 1), generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        images, rows, columns = (index.to(inputs.device) for index in (torch.arange(count), rows, columns))
        cut = wide[images[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # [N, H, W, C]
        return cut.permute(0, 3, 1, 2)  # channels last in memory

    def __str__(self) -> str:
        return f"crop-flip:{self.padding}" if self.flip else f"crop:{self.padding}"


def as_augmentation(choice: str | CropFlip | None) -> CropFlip | None:
    """Return an augmentation from its text: ``none``, ``crop-flip`` or ``crop`` (4 pixels), or ``crop:PIXELS``.

    >>> as_augmentation("crop:2")
    CropFlip(padding=2, flip=False)
    """
    if choice is None or isinstance(choice, CropFlip):
        return choice
    if choice == "none":
        return None
    kind, colon, pixels = choice.partition(":")
    if kind not in ("crop-flip", "crop") or (colon and not pixels.isdecimal()):
        raise DriftproofError(
            f"augmentation {choice!r}{did_you_mean(kind, ['crop-flip', 'crop', 'none'])}: wanted none, crop-flip or "
            "crop, with an optional number of pixels, such as crop-flip:4"
        )
    return CropFlip(padding=int(pixels) if colon else 4, flip=kind == "crop-flip")
