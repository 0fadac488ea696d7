"""What a network may tell about itself, beyond its outputs. All of it is optional: most networks tell nothing.

An evaluation needs a network's analog weights, which it finds by watching, and its outputs. A network whose answer is
more than one pass, such as a Hopfield network that relaxes, can also tell how it came to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

type WeightOf = Callable[[str], Tensor | None]
"""Name of a parameter → its effective weight on the chip, or None if it is not on a chip."""


@runtime_checkable
class MeasuresItself(Protocol):
    """A network that measures something while it computes."""

    def clear_diagnostics(self) -> None:
        """Forget what was measured."""

    def diagnostics(self, weight_of: WeightOf) -> Mapping[str, float]:
        """Return what was measured since the last :meth:`clear_diagnostics`: name → number.

        Args:
            weight_of: Effective weights of the chip that computed.
        """


@runtime_checkable
class KeepsWeightsDigital(Protocol):
    """A network some of whose weights are not meant to be on arrays."""

    def digital_weights(self) -> Collection[str]:
        """Return the names of parameters and buffers that multiply digitally on purpose."""


@runtime_checkable
class ChecksTraining(Protocol):
    """A network that, with some of its settings, can only be evaluated."""

    def check_training(self, precision: str | None = None) -> None:
        """Raise DriftproofError if it cannot be trained, as it is set, in this precision (None: not known)."""


def check_training(network: nn.Module, precision: str | None = None) -> None:
    """Raise DriftproofError if a network says that it cannot be trained, as it is set, in this precision."""
    if isinstance(network, ChecksTraining):
        network.check_training(precision)


def clear_diagnostics(network: nn.Module) -> None:
    """Let a network forget what it measured of itself."""
    if isinstance(network, MeasuresItself):
        network.clear_diagnostics()


def diagnostics_of(network: nn.Module, weight_of: WeightOf) -> dict[str, float]:
    """Return what a network measured of itself; empty for a network that measures nothing."""
    return dict(network.diagnostics(weight_of)) if isinstance(network, MeasuresItself) else {}


def digital_weights(network: nn.Module) -> Collection[str]:
    """Return the names of the weights that a network keeps digital on purpose."""
    return network.digital_weights() if isinstance(network, KeepsWeightsDigital) else ()
