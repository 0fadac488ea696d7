"""Which samples a forward pass is about, so that noise of single products can be keyed by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from driftproof.calls import Dense, Product
from driftproof.errors import DriftproofError


class Passes:
    """Which samples a forward pass is about: their numbers in the data.

    As a forward pre-hook of the whole network it numbers samples in the order in which they come, unless :meth:`expect`
    has said which ones come next.

    Attributes:
        samples: numbers of the samples of the pass that runs.
        number: of that pass.
    """

    def __init__(self) -> None:
        self.samples: Sequence[int] = range(0)
        self.number = 0
        self._next = 0
        self._expected: Sequence[int] | None = None

    @property
    def next_sample(self) -> int:
        """Number of the sample that comes after the last one, unless another is expected."""
        return self._next

    def begin(self, samples: Sequence[int]) -> None:
        """Say that a pass over these samples begins."""
        self.samples, self.number = samples, self.number + 1
        if len(samples):
            self._next = samples[-1] + 1

    def restart(self, first: int = 0) -> None:
        """Say that the next pass begins with sample ``first``."""
        self._expected, self._next = None, first
        self.begin(range(0))

    def expect(self, samples: Sequence[int]) -> None:
        """Say which samples the next pass is about."""
        self._expected = samples

    def __call__(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Begin the pass that follows the last one (a hook ``with_kwargs``)."""
        inputs = first_tensor(args, named)
        count = 0 if inputs is None or inputs.dim() == 0 else len(inputs)
        expected, self._expected = self._expected, None
        self.begin(range(self._next, self._next + count) if expected is None else expected)


class Calls:
    """Counts how often a layer is used in a pass: each use has noise of its own."""

    def __init__(self, passes: Passes) -> None:
        self._passes, self._count, self._pass = passes, 0, -1

    def mark(self) -> str:
        """Return the number of this use, empty for the first one of a pass."""
        self._count = 1 if self._pass != self._passes.number else self._count + 1
        self._pass = self._passes.number
        return "" if self._count == 1 else str(self._count)


def first_tensor(args: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    """Return the first tensor of a call, by place or by name; None if there is none."""
    return next((value for value in (*args, *named.values()) if isinstance(value, Tensor)), None)


def by_sample(
    passes: Passes,
    product: Product,
    shape: tuple[int, ...],
    draw: Callable[[tuple[int, ...], Sequence[int]], Tensor],
    layer: str,
) -> Tensor:
    """Return numbers in the shape of some outputs, the same for a sample in any batch.

    Args:
        passes: which samples these are.
        product: says where its inputs count samples.
        shape: of the outputs.
        draw: takes ([samples, …], numbers of the samples), returns the numbers.
        layer: for messages.

    Raises:
        DriftproofError: the outputs do not count these samples.
    """
    count = len(passes.samples)
    second = product.sample_axis == 1 and isinstance(product.geometry, Dense)
    steps, rows = (shape[0], shape[1]) if second and len(shape) > 2 else (1, shape[0])
    if rows == count == 0:
        return draw(shape, passes.samples)
    if not count or rows % count:
        raise DriftproofError(
            f"layer {layer!r} gives outputs {list(shape)} for {count} samples: noise of single products is drawn "
            "sample by sample and wants the samples first; use a device (read.new_every) and a periphery without it, "
            "or call the layer with the samples in its first dimension"
        )
    if not second:
        return draw((count, rows // count, *shape[1:]), passes.samples).view(shape)
    # [steps, samples, …] or [steps · samples, …]: drawn sample by sample, then put in that order
    steps *= rows // count
    numbers = draw((count, steps, *shape[2 if len(shape) > 2 else 1 :]), passes.samples)
    return numbers.transpose(0, 1).reshape(shape)
