"""The samples of a forward pass, by which noise that is new in every MVM is keyed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import local
from typing import Any

from torch import Tensor, nn

from driftproof._calls import Dense, Product
from driftproof._errors import DriftproofError


class _PerThread(local):
    """Attributes of which each thread has its own, because threads compute parts of a batch side by side."""

    def __reduce__(self) -> Any:
        """Copy and pickle the attributes of the current thread; a ``threading.local`` alone cannot."""
        return type(self), self._arguments(), dict(self.__dict__)

    def _arguments(self) -> tuple[Any, ...]:
        return ()


class Passes:
    """The samples of a forward pass: their numbers in the data.

    As a forward pre-hook of the whole network it numbers samples in the order in which they come, unless
    :meth:`expect` has set the samples of the next pass.

    Attributes:
        samples: Numbers of the samples of the current pass.
        number: Number of the current pass.
        next_sample: Number of the next sample, unless :meth:`expect` has set another.
    """

    def __init__(self) -> None:
        self.samples: Sequence[int] = range(0)
        self.number = 0
        self.next_sample = 0
        self._expected: Sequence[int] | None = None

    def begin(self, samples: Sequence[int]) -> None:
        """Begin a pass over these samples."""
        self.samples, self.number = samples, self.number + 1
        if len(samples):
            self.next_sample = samples[-1] + 1

    def restart(self, first: int = 0) -> None:
        """Let the next pass begin with sample ``first``."""
        self._expected, self.next_sample = None, first
        self.begin(range(0))

    def expect(self, samples: Sequence[int]) -> None:
        """Set the samples of the next pass."""
        self._expected = samples

    def __call__(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Begin the next pass, as a hook ``with_kwargs``."""
        inputs = first_tensor(args, named)
        count = 0 if inputs is None or inputs.dim() == 0 else len(inputs)
        expected, self._expected = self._expected, None
        self.begin(range(self.next_sample, self.next_sample + count) if expected is None else expected)


class ThreadPasses(_PerThread, Passes):
    """The same, with a pass of its own for each thread."""


class Calls(_PerThread):
    """Counter of the uses of a layer in a pass. Each use has new noise.

    Attributes:
        current: Number of the current use as text; empty for the first one of a pass.
    """

    def __init__(self, passes: Passes) -> None:
        self._passes, self._count, self._pass = passes, 0, -1
        self.current = ""

    def _arguments(self) -> tuple[Any, ...]:
        return (self._passes,)

    def mark(self) -> str:
        """Begin a use, and return :attr:`current`."""
        self._count = 1 if self._pass != self._passes.number else self._count + 1
        self._pass = self._passes.number
        self.current = "" if self._count == 1 else str(self._count)
        return self.current


def first_tensor(args: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    """Return the first tensor among the arguments of a call, or None."""
    return next((value for value in (*args, *named.values()) if isinstance(value, Tensor)), None)


def by_sample(
    passes: Passes,
    product: Product,
    shape: tuple[int, ...],
    draw: Callable[[tuple[int, ...], Sequence[int]], Tensor],
    layer: str,
) -> Tensor:
    """Return random numbers in the shape of some outputs. A sample has the same numbers in any batch.

    Args:
        passes: The samples of the current pass.
        product: Product that gave the outputs, which knows the axis that counts samples.
        shape: Shape of the outputs.
        draw: Function from a shape [samples, …] and the numbers of the samples to their random numbers.
        layer: Name of the layer, for messages.

    Raises:
        DriftproofError: If no axis of the outputs counts these samples.
    """
    count, whole = len(passes.samples), shape
    while count > 1 and len(shape) > 2 and shape[0] == 1:  # an axis that counts nothing
        shape = shape[1:]
    second = product.sample_axis == 1 and isinstance(product.geometry, Dense)
    steps, rows = (shape[0], shape[1]) if second and len(shape) > 2 else (1, shape[0])
    if rows == count == 0:
        return draw(shape, passes.samples)
    if not count or rows % count:
        raise DriftproofError(
            f"layer {layer!r} gives outputs {list(whole)} for {count} samples: noise that is new in every MVM is drawn "
            "sample by sample and needs the samples first; use a device (read.new_every) and a periphery without it, "
            "or call the layer with the samples in its first dimension"
        )
    if not second:
        return draw((count, rows // count, *shape[1:]), passes.samples).view(whole)
    # [steps, samples, …] or [steps · samples, …]: drawn sample by sample, then put in that order
    steps *= rows // count
    numbers = draw((count, steps, *shape[2 if len(shape) > 2 else 1 :]), passes.samples)
    return numbers.transpose(0, 1).reshape(whole)
