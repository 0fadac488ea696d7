"""What a method does before its first update: find the analog weights, and see whether gradients are exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from driftproof._batch_norm import norms_with_statistics
from driftproof._calls.analog import check_digital
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs
from driftproof._mapping import unwrap
from driftproof._own_measures import check_training
from driftproof.training._closures import inputs_of_first_pass
from driftproof.training._methods.settings_and_state import SettingsAndState
from driftproof.training._parallel import group_of, same_in_all
from driftproof.training._passes import Closure
from driftproof.training._weights import AnalogWeights

if TYPE_CHECKING:
    from driftproof.training._settings import Settings


class Preparation(SettingsAndState):
    """The part of a method that knows the network that it trains."""

    weights: AnalogWeights | None = None
    norms_with_statistics: Sequence[nn.Module] = ()
    total: int | None = None
    _exchange_seen = False

    def check_settings(self, settings: Settings) -> None:
        """Raise DriftproofError if the settings of a training do not go with the method."""

    def begin(self, total: int) -> None:
        """Set the number of updates of the run, for schedules that span it.

        Raises:
            DriftproofError: A schedule that is longer than the run.
        """
        for schedule in self.schedules():
            if schedule.steps is not None and schedule.steps > total:
                raise DriftproofError(
                    f"method {self.name}: its strength {schedule} spans {schedule.steps} updates, the run has "
                    f"{total}: it would never get to its end"
                )
        self.total = total

    def prepare(self, model: nn.Module, example: Inputs) -> AnalogWeights:
        """Find the analog weights of a network by watching it on example inputs.

        The first :meth:`step` does it with the closure's inputs.
        """
        check_training(unwrap(model))
        self.weights = AnalogWeights.of(model, example, self.on_tiles)
        self.norms_with_statistics = norms_with_statistics(self.weights.network)
        self._exchange_seen = False
        return self.weights

    def prepared(self, model: nn.Module, closure: Closure) -> AnalogWeights:
        """Return the analog weights of a network, which the closure's first pass finds if they are not known."""
        if self.weights is None:
            check_digital(unwrap(model))
            return self.prepare(model, inputs_of_first_pass(model, closure))
        if self.weights.network is not unwrap(model):
            raise DriftproofError(
                f"method {self.name} was prepared for another network; make a new one, or call prepare(model, example)"
            )
        self.weights.check_current()
        return self.weights

    def check_exchanged(self, model: nn.Module) -> None:
        """Raise DriftproofError if the processes have other gradients, at the first update since :meth:`prepare`."""
        if self._exchange_seen:
            return
        gradients = [p.grad for p in unwrap(model).parameters() if p.grad is not None]
        if not same_in_all(gradients, group_of(model)):
            raise DriftproofError(
                "the gradients differ between the processes: nothing was updated. Let the closure call the network "
                "that step() was given, the DistributedDataParallel, not the network inside"
            )
        self._exchange_seen = True
