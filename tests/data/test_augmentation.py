"""Crops and flips: each image moved by its own draw, black at the edges, nothing invented."""

from __future__ import annotations

import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof.data._augmentation import CropFlip, as_augmentation


def test_every_result_is_a_window_of_the_padded_image() -> None:
    images = torch.randn(64, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    changed = CropFlip(padding=2)(images, torch.Generator().manual_seed(1))
    assert isinstance(changed, torch.Tensor)
    black = images.amin(dim=(0, 2, 3))
    seen = set()
    for image, result in zip(images, changed, strict=True):
        wide = black[:, None, None].expand(2, 9, 10).clone()
        wide[:, 2:7, 2:8] = image
        windows = {
            (down, right, flip): window.flip(2) if flip else window
            for down in range(5)
            for right in range(5)
            for flip in (False, True)
            for window in [wide[:, down : down + 5, right : right + 6]]
        }
        found = [key for key, window in windows.items() if torch.equal(window, result)]
        assert len(found) == 1
        seen.add(found[0])
    # 64 draws of 50 moves: 36 different ones are expected, 20 or fewer have a probability below 1e-9
    assert len(seen) > 20


def test_the_generator_decides() -> None:
    images = torch.randn(8, 1, 4, 4)
    first, again, other = (CropFlip()(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)  # type: ignore[arg-type]
    assert not torch.equal(first, other)  # type: ignore[arg-type]


def test_what_is_no_image_and_no_name_is_refused() -> None:
    with pytest.raises(DriftproofError, match="wants images"):
        CropFlip()(torch.zeros(3, 4), torch.Generator())
    with pytest.raises(DriftproofError, match="did you mean crop-flip"):
        as_augmentation("cropflip")
    assert as_augmentation("none") is None
    assert as_augmentation("crop-flip:2") == CropFlip(padding=2)
