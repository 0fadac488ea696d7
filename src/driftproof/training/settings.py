"""How a training is run, beside its method: checked, and as text for the log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from driftproof.data.augmentation import CropFlip, as_augmentation
from driftproof.defaults import (
    LEARNING_RATE,
    LOSS,
    MICRO_BATCHES,
    OPTIMIZER,
    PRECISION,
    SEED,
    TORCH_DEVICE,
    TRAINING_BATCH_SIZE,
    WEIGHT_DECAY,
)
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.keywords import ChecksKeywords
from driftproof.training.distillation import Distillation
from driftproof.training.losses import Loss, as_loss
from driftproof.training.update import check_clip_norm

type MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Settings(ChecksKeywords):
    """How a training is run.

    Attributes:
        epochs: passes through the data.
        batch_size: samples of one update, over micro-batches and processes.
        micro_batches: of one update, each with a perturbation of its own (gradient accumulation).
        optimizer: ``sgd`` (momentum 0.9, Nesterov), ``adamw``, or a function of the parameters.
        lr: largest learning rate.
        lr_schedule: ``cosine`` to zero after a linear warm-up, or ``constant`` after it.
        warm_up: share of the updates.
        weight_decay: of all parameters; of one's own optimizer, whatever that does.
        loss: ``cross-entropy``, ``mse``, ``causal``, or a function of (outputs, targets).
        clip_norm: largest norm of the gradient.
        precision: of the products in forward and backward passes (autocast); weights stay float32.
        augment: ``crop-flip`` and the like for images.
        distil: learn from the digital network's outputs, too.
        seed: of order, augmentation, and everything else that is random but the perturbation.
        device: ``cpu`` or ``cuda``.
        log_every: updates in one row of the log; 0: ten rows an epoch.
    """

    epochs: int
    batch_size: int = TRAINING_BATCH_SIZE
    micro_batches: int = MICRO_BATCHES
    optimizer: Literal["sgd", "adamw"] | MakeOptimizer = OPTIMIZER
    lr: float = LEARNING_RATE
    lr_schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: float = 0.05
    weight_decay: float = WEIGHT_DECAY
    loss: str | Loss = LOSS
    clip_norm: float | None = None
    precision: Precision = PRECISION
    augment: str | CropFlip | None = None
    distil: Distillation | None = None
    seed: int = SEED
    device: str = TORCH_DEVICE
    log_every: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if self.epochs < 1:
            raise DriftproofError(f"epochs {self.epochs}: wanted at least 1")
        if not (math.isfinite(self.lr) and self.lr > 0) or self.weight_decay < 0 or not 0 <= self.warm_up < 1:
            raise DriftproofError(
                f"wanted lr > 0, weight_decay >= 0 and warm_up in [0, 1), got {self.lr!r}, {self.weight_decay!r} and "
                f"{self.warm_up!r}"
            )
        check_clip_norm(self.clip_norm)
        _one_of("precision", self.precision, get_args(Precision))
        _one_of("lr_schedule", self.lr_schedule, ("cosine", "constant"))
        if isinstance(self.optimizer, str):
            _one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        as_loss(self.loss)
        as_augmentation(self.augment)
        if self.device != "cpu" and not self.device.startswith("cuda"):
            raise DriftproofError(f"device {self.device!r}: wanted cpu or cuda")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise DriftproofError("device cuda: torch finds no GPU here; leave --device out, or install a CUDA build")

    @property
    def dtype(self) -> torch.dtype:
        """The type of the products."""
        return _DTYPES[self.precision]

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a network's parameters that take a gradient."""
        parameters = [p for p in network.parameters() if p.requires_grad]
        if not parameters:
            raise DriftproofError("all parameters are frozen (requires_grad=False): there is nothing to train")
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=self.lr, momentum=0.9, nesterov=True, weight_decay=self.weight_decay)
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return self.optimizer(parameters)

    def make_schedule(self, optimizer: torch.optim.Optimizer, updates: int) -> LambdaLR:
        """Return the learning rate's schedule over so many updates."""
        warm = self.warm_up * updates

        def factor(step: int) -> float:
            rising = min(1.0, (step + 1) / warm) if warm >= 1 else 1.0
            return rising * (0.5 * (1 + math.cos(math.pi * step / updates)) if self.lr_schedule == "cosine" else 1.0)

        return LambdaLR(optimizer, factor)

    def describe(self) -> dict[str, str]:
        """Return the settings as text: what has to be the same for a run to go on."""
        optimizer = self.optimizer if isinstance(self.optimizer, str) else _name(self.optimizer)
        return {
            "epochs": str(self.epochs),
            "batch size": str(self.batch_size),
            "micro-batches": str(self.micro_batches),
            "optimizer": optimizer,
            "learning rate": f"{self.lr:g}",
            "learning-rate schedule": f"{self.lr_schedule}, warm-up {self.warm_up:g}",
            "weight decay": f"{self.weight_decay:g}",
            "loss": as_loss(self.loss)[0],
            "gradient clipping": "none" if self.clip_norm is None else f"{self.clip_norm:g}",
            "precision": self.precision,
            "augmentation": str(as_augmentation(self.augment) or "none"),
            "distillation": str(self.distil or "none"),
            "seed of order and augmentation": str(self.seed),
        }


def _one_of(what: str, given: object, known: tuple[str, ...]) -> None:
    if given not in known:
        raise DriftproofError(f"{what} {given!r}{did_you_mean(str(given), known)}: there are {', '.join(known)}")


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
