"""Small loops that step by themselves, as trainers do: they need no package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

type Batch = tuple[Tensor, Tensor]


class Trainer:
    """Calls ``training_step`` for each micro-batch, then clips, steps and drops the gradients, as Hugging Face's does.

    The closure's loss is divided by the number of micro-batches; a last update of fewer takes what there is.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, accumulate: int = 1, clip_norm: float | None = None
    ) -> None:
        self.network, self.optimizer, self.accumulate, self.clip_norm = network, optimizer, accumulate, clip_norm
        self.parts = accumulate

    def loss(self, batch: Batch) -> Tensor:
        loss: Tensor = self.network(*batch)["loss"]
        return loss / self.parts

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss(batch)
        torch.autograd.backward(loss)
        return loss.detach()

    def train(self, batches: Sequence[Batch]) -> None:
        self.network.train()
        for start in range(0, len(batches), self.accumulate):
            update = batches[start : start + self.accumulate]
            self.parts = len(update)
            for batch in update:
                self.training_step(batch)
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
            self.optimizer.step()
            self.network.zero_grad()


class Hooks:
    """Forward, ``zero_grad`` and backward inside the optimizer's own closure, between hooks, as Lightning has it."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        self.before: Callable[[], Any] = lambda: None
        self.after_backward: Callable[[], Any] = lambda: None

    def train(self, batches: Sequence[Batch]) -> None:
        self.network.train()
        for batch in batches:
            self.before()

            def closure(batch: Batch = batch) -> Tensor:
                loss: Tensor = self.network(*batch)["loss"]
                self.optimizer.zero_grad()
                torch.autograd.backward(loss)
                self.after_backward()
                return loss

            self.optimizer.step(closure)  # type: ignore[arg-type]  # SGD takes a closure that returns a tensor
