"""Settings of a Hopfield network with which it can be evaluated, but not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._hopfield.network import HopfieldNetwork

EXACT = ("float32", "float64")
"""Types in which the difference of two phases is more than rounding."""


def check_training(network: HopfieldNetwork, precision: str | None) -> None:
    """Raise DriftproofError if a network, as it is set, can only be evaluated.

    Args:
        network: The network.
        precision: Precision of the training, which a Hopfield network does not follow; None if it is not known.
    """
    types = {str(parameter.dtype).removeprefix("torch.") for parameter in network.parameters()}
    if wrong := sorted(types - set(EXACT)):
        raise DriftproofError(
            f"a Hopfield network is trained in float32, {wrong[0]} came: the difference of two phases drowns in "
            "rounding; call network.float()"
        )
    if precision not in (None, *EXACT):
        raise DriftproofError(
            f"a Hopfield network is trained in float32, {precision} came: the difference of two phases drowns in "
            "rounding; leave the precision out"
        )
    if network.precision != "float32":
        raise DriftproofError(
            f"the network multiplies in {network.precision}, which is for inference: the difference of two phases "
            "drowns in its rounding; call network.set_precision('float32')"
        )
    if network.feedback != "same":
        raise DriftproofError(
            "a training changes weights that are the same in both directions; call network.set_feedback('same'), and "
            "choose the feedback of the trained network"
        )
