"""The settings of a training, apart from its method: checked, and as text for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import driftproof._defaults as default
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import ChecksKeywords
from driftproof.data import Data
from driftproof.data._augmentation import CropFlip, as_augmentation
from driftproof.training._losses import Distillation, Loss, as_loss, name_of
from driftproof.training._rates import as_rates, decay_of, factor_of, parameter_groups
from driftproof.training._update import check_clip_norm

type MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Precision = Literal["float32", "bfloat16", "float16"]
OPTIMIZERS = ("sgd", "momentum", "plain-sgd", "adamw")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Settings(ChecksKeywords):
    """The settings of a training, apart from its method.

    Attributes:
        epochs: Number of passes through the data.
        batch_size: Samples of one update, over all micro-batches and processes (default: that of the DataLoader if one
            is trained on, else 128).
        micro_batches: Micro-batches of one update, each with its own perturbation (gradient accumulation; default: 1).
        optimizer: ``sgd`` (momentum 0.9, Nesterov), ``momentum`` (0.9, classical), ``plain-sgd`` (no momentum),
            ``adamw``, or a function of the parameters that returns an optimizer (default: ``sgd``).
        lr: Largest learning rate, above 0: one number, or one for each layer from the input on, where a layer is a
            module that owns parameters (default: 0.01).
        lr_schedule: Learning rate after a linear warm-up: ``cosine`` to zero, ``constant``, or ``exponential:0.99``,
            which multiplies by this factor after every epoch (default: ``cosine``).
        warm_up: Share of the updates in which the learning rate rises, in [0, 1) (default: 0.05).
        weight_decay: Weight decay of all parameters, for optimizers that are given by name (default: 0.0001).
        loss: ``cross-entropy``, ``binary``, ``mse``, ``squared-error``, ``causal``, or a function of (outputs, targets)
            (default: that of the method: ``squared-error`` for energy-based ones, else ``cross-entropy``).
        clip_norm: Largest norm of the gradient (default: no clipping).
        precision: Precision of the network's products in forward and backward passes (autocast): ``float32``,
            ``bfloat16`` or ``float16``. Weights stay float32 (default: ``float32``).
        augment: Augmentation of images, such as ``crop-flip`` (default: none).
        distil: Distillation from the digital network's outputs, or its weight in the loss as a number (default: none).
        seed: Seed of order, augmentation, dropout and the like; the method has its own seed (default: 0).
        torch_device: Device to compute on, ``cpu`` or ``cuda`` (default: ``cpu``).
        log_every: Updates in one row of the log; 0 for ten rows per epoch (default: 0).

    Raises:
        DriftproofError: Impossible settings; ``cuda`` without a GPU.
    """

    epochs: int
    batch_size: int | None = None
    micro_batches: int = default.MICRO_BATCHES
    optimizer: Literal["sgd", "momentum", "plain-sgd", "adamw"] | MakeOptimizer = default.OPTIMIZER
    lr: float | Sequence[float] = default.LEARNING_RATE
    lr_schedule: str = default.LR_SCHEDULE
    warm_up: float = default.WARM_UP
    weight_decay: float = default.WEIGHT_DECAY
    loss: str | Loss | None = None
    clip_norm: float | None = None
    precision: Precision = default.PRECISION
    augment: str | CropFlip | None = None
    distil: Distillation | float | None = None
    seed: int = default.SEED
    torch_device: str = default.TORCH_DEVICE
    log_every: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.epochs < 1:
            raise DriftproofError(f"epochs {self.epochs}: wanted at least 1")
        as_rates(self.lr)
        if self.weight_decay < 0 or not 0 <= self.warm_up < 1:
            raise DriftproofError(
                f"wanted weight_decay >= 0 and warm_up in [0, 1), got {self.weight_decay!r} and {self.warm_up!r}"
            )
        _ = self.distillation  # it checks a number
        check_clip_norm(self.clip_norm)
        check_choice("precision", self.precision, get_args(Precision))
        decay_of(self.lr_schedule)
        if isinstance(self.optimizer, str):
            check_choice("optimizer", self.optimizer, OPTIMIZERS)
        as_loss(self.loss or default.LOSS)
        as_augmentation(self.augment)
        if self.torch_device != "cpu" and not self.torch_device.startswith("cuda"):
            raise DriftproofError(f"device {self.torch_device!r}: wanted cpu or cuda")
        if self.torch_device.startswith("cuda") and not torch.cuda.is_available():
            raise DriftproofError("device cuda: torch finds no GPU here; leave --device out, or install a CUDA build")

    @property
    def distillation(self) -> Distillation | None:
        """The distillation; None without."""
        return Distillation(weight=self.distil) if isinstance(self.distil, int | float) else self.distil

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's products."""
        return _DTYPES[self.precision]

    def batch_size_on(self, data: Data) -> int:
        """Return the number of samples of one update on some data."""
        sizes = (self.batch_size, data.loader_batch, default.TRAINING_BATCH_SIZE)
        return next(size for size in sizes if size is not None)

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return an optimizer of a network's parameters that take a gradient."""
        parameters = [p for p in network.parameters() if p.requires_grad]
        if not parameters:
            raise DriftproofError("all parameters are frozen (requires_grad=False): there is nothing to train")
        rates = as_rates(self.lr)
        if not isinstance(self.optimizer, str):
            if len(rates) > 1:
                raise DriftproofError("lr has several numbers, and an optimizer of your own sets its own: give it one")
            return self.optimizer(parameters)
        groups: Any = parameters if len(rates) == 1 else parameter_groups(network, rates)
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=rates[0], weight_decay=self.weight_decay)
        # not fused: torch's fused kernel takes a gradient in another order of memory for one in the parameter's
        kinds: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9, "nesterov": True}, "momentum": {"momentum": 0.9}}
        kind = kinds.get(self.optimizer, {})
        return torch.optim.SGD(groups, lr=rates[0], weight_decay=self.weight_decay, **kind)

    def make_schedule(self, optimizer: torch.optim.Optimizer, updates: int) -> LambdaLR:
        """Return the schedule of the learning rate over a number of updates."""
        return LambdaLR(optimizer, factor_of(self.lr_schedule, self.warm_up, self.epochs, updates))

    def describe(self) -> dict[str, str]:
        """Return the settings as text; a run is resumed with the same settings only."""
        return {
            "epochs": str(self.epochs),
            "micro-batches": str(self.micro_batches),
            "optimizer": self.optimizer if isinstance(self.optimizer, str) else name_of(self.optimizer),
            "learning rate": ", ".join(f"{rate:g}" for rate in as_rates(self.lr)),
            "learning-rate schedule": f"{self.lr_schedule}, warm-up {self.warm_up:g}",
            "weight decay": f"{self.weight_decay:g}",
            "loss": as_loss(self.loss or default.LOSS)[0],
            "gradient clipping": "none" if self.clip_norm is None else f"{self.clip_norm:g}",
            "precision": self.precision,
            "augmentation": str(as_augmentation(self.augment) or "none"),
            "distillation": str(self.distillation or "none"),
            "seed of order and augmentation": str(self.seed),
        }
