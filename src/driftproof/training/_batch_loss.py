"""The loss of a micro-batch: on which device, in which precision and with which teacher it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._defaults import LOSS
from driftproof._inputs import Inputs, call, on_tensors, to_device
from driftproof._outputs import main_output
from driftproof.training._losses import as_loss, with_classes_last
from driftproof.training._passes import Closure
from driftproof.training._settings import Settings


@dataclass(frozen=True)
class BatchLoss:
    """The closures of an update.

    Attributes:
        model: Network that they call, in its wrappers.
        teacher: Frozen network whose outputs are learnt, too; None without distillation.
        settings: Settings of the training.
        torch_device: Device on which the network is.
        channels_last: Whether images are placed in channels-last memory order.
    """

    model: nn.Module
    teacher: nn.Module | None
    settings: Settings
    torch_device: torch.device
    channels_last: bool

    def closures(self, update: Sequence[tuple[Inputs, Tensor]]) -> list[Closure]:
        """Return one closure for each micro-batch (inputs, targets)."""
        return [partial(self._loss, *self._placed(inputs, targets)) for inputs, targets in update]

    def _placed(self, inputs: Inputs, targets: Tensor) -> tuple[Inputs, Tensor, Tensor | None]:
        """Return a micro-batch on the device, with the teacher's outputs: once, however often the loss is computed."""
        inputs, targets = to_device(inputs, self.torch_device), targets.to(self.torch_device)
        if self.channels_last and isinstance(inputs, Tensor) and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if self.teacher is None:
            return inputs, targets, None
        with torch.no_grad(), self._autocast():
            return inputs, targets, main_output(call(self.teacher, on_tensors(inputs, Tensor.clone))).float()

    def _loss(self, inputs: Inputs, targets: Tensor, taught: Tensor | None) -> Tensor:
        with self._autocast():
            returned = call(self.model, inputs)
        name, function = as_loss(self.settings.loss or LOSS)
        loss = function(returned, targets)
        if taught is None or self.settings.distillation is None:
            return loss
        outputs = main_output(returned)
        if name == "cross-entropy" and outputs.dim() > 2:
            outputs, taught = (with_classes_last(logits, targets) for logits in (outputs, taught))
        return self.settings.distillation.loss(loss, outputs, taught)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "float32":
            return nullcontext()
        return torch.autocast(self.torch_device.type, self.settings.dtype)


def to_channels_last(network: nn.Module) -> None:
    """Change the memory order of convolutions' weights: the same numbers but for rounding, nearly twice as fast."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
