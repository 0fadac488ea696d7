"""The free phase of an energy-based method, which runs when the method's closure calls the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof._hopfield.relaxation import Relaxed, Schedule

if TYPE_CHECKING:
    from driftproof._hopfield.network import HopfieldNetwork


@dataclass
class Recording:
    """What the free phase starts from, and what it ends in.

    Attributes:
        schedule: Length and order of the free phase.
        layers: States to start from; None for zeros. They are not used for a batch of another size.
        relaxed: The end of the free phase, once the network was called.
        output: Output of the network, a leaf that takes the gradient of the closure's loss.
    """

    schedule: Schedule
    layers: Sequence[Tensor] | None = None
    relaxed: Relaxed | None = None
    output: Tensor | None = None

    def free_phase(self, network: HopfieldNetwork, x: Tensor) -> Tensor:
        """Relax freely, and return the output as a leaf.

        Raises:
            DriftproofError: The closure calls the network a second time.
        """
        if self.relaxed is not None:
            raise DriftproofError(
                "the closure calls the Hopfield network twice; an energy-based method takes the loss of one call"
            )
        layers = self.layers if self.layers is not None and len(self.layers[0]) == len(x) else None
        self.relaxed = network.relaxed(network.start(x, layers), self.schedule)
        self.output = self.relaxed.states.output.detach().clone().requires_grad_()
        return self.output
