"""The training loop: epochs of a method's updates, with validation, a log, and checkpoints to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._behaviour import check_function
from driftproof._calls.copies import copied
from driftproof._calls.network import check_numbers
from driftproof._errors import DriftproofError
from driftproof._files import make_folder, write_tensors
from driftproof._inputs import Inputs, example_call, to_device
from driftproof._keywords import check_keywords, keywords_of, new_names
from driftproof._mapping import plain_copy, unasked_text, unwrap
from driftproof._own_measures import check_training
from driftproof._progress import Progress
from driftproof._provenance import describe_run, model_hash
from driftproof._random_state import random_state_kept
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.training import _checkpoint as checkpoint
from driftproof.training._batch_loss import BatchLoss, to_channels_last
from driftproof.training._batches import Batches
from driftproof.training._log import Log, Row, row_of
from driftproof.training._losses import usual_loss
from driftproof.training._methods import Diagnostics, Method, Plain
from driftproof.training._norms import recalibrate_norms
from driftproof.training._parallel import distributed, from_first, is_first, take_from_first, wrapped
from driftproof.training._settings import Settings
from driftproof.training._warned_once import not_again
from driftproof.training._weights import AnalogWeights

type Validate = Callable[[nn.Module], float]
"""A network in eval mode with clean weights → a number that says how good it is."""
LOG_ROWS_PER_EPOCH = 10
RESTORED_FIELDS = ("epoch", "seconds", "best", "best_epoch", "best_weights")
"""Fields of a run that its checkpoint keeps as they are."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The result of :func:`train`.

    Attributes:
        model: The trained network in eval mode, with the weights of the best epoch (without validation: of the last).
        rows: Rows of the log. Each is the mean over several updates.
        best_epoch: Number of the best epoch, from 1. None without validation. Every epoch counts, also those at the
            beginning of a ramp: a validation on chips has the whole noise of the device, whatever the strength.
        best: Validation value of the best epoch. None without validation.
        out: Folder of the checkpoints. None if nothing was written.
    """

    model: nn.Module
    rows: tuple[Row, ...]
    best_epoch: int | None
    best: float | None
    out: Path | None


def train(
    model: nn.Module,
    data: Data | object,
    *,
    method: Method | None = None,
    epochs: int | None = None,
    settings: Settings | None = None,
    validate: Validate | None = None,
    higher_is_better: bool = True,
    out: str | Path | None = None,
    progress: bool | None = None,
    on_row: Callable[[Row], None] | None = None,
    all_analog: bool = False,
    within_validity: bool = False,
    strict: bool = False,
    **more: Any,
) -> Training:
    """Train a network with a method.

    A run that was stopped is resumed by the same call with the same ``out``; its numbers are those of a run that never
    stopped. Under ``torchrun`` every process takes its share of each batch.

    Args:
        model: Network to start from; it is not changed.
        data: Training data, of any kind that :func:`driftproof.evaluate` takes. Random transforms of a dataset are
            drawn at every epoch. Samples are shuffled at every epoch, and a last batch that is not full is left out,
            whatever a DataLoader does; its batch size is taken unless ``batch_size`` is given.
        method: How an update is made (default: :class:`Plain`).
        epochs: Number of passes through the data. It is required unless ``settings`` is given.
        settings: All other settings as one object. Its parts can be given here by name instead (``lr=0.03,
            augment="crop-flip"``).
        validate: Function that takes a network in eval mode and returns how good it is. It is called after every epoch
            and decides which epoch is the best. ``driftproof.ChipValidation`` measures on chips.
        higher_is_better: Whether a higher validation is better (default: True).
        out: Folder for ``best.safetensors``, ``last.safetensors``, the state of the run, and ``log.csv`` (default:
            nothing is written).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).
        on_row: Function that is called with each new row of the log.
        all_analog: Whether to raise an error if a weight that is used in a matrix multiplication stays digital although
            ``where`` of the method's ``on_tiles`` does not exclude it (default: a warning).
        within_validity: Whether to raise an error for noise at times outside the device's range of validity (default: a
            warning).
        strict: Whether to set both ``all_analog`` and ``within_validity`` (default: False).
        more: Parts of :class:`Settings`.

    Returns:
        The trained network, a copy in eval mode, with the log and the best epoch.

    Raises:
        DriftproofError: Impossible or unknown settings; another training in the folder; with ``all_analog`` a weight
            that stays digital; with ``within_validity`` noise outside the range of validity; a loss that is not
            finite (the last good checkpoint is kept).

    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> method = dp.RWP(noise=dp.load_preset("pcm-nandakumar-2019").at("1d"), strength=dp.ramp("quadratic", to=2.0))
    >>> robust = train(trained_digits_cnn(), digits("train").head(256), method=method, epochs=1, lr=0.001)
    >>> robust.rows[-1]["updates"]
    2
    """
    more = new_names("train", more, Settings.keywords())
    check_keywords("train", more, dict.fromkeys([*keywords_of(train), *Settings.keywords()]))
    method = method if method is not None else Plain()
    if epochs is not None:
        more["epochs"] = epochs
    if settings is None:
        if epochs is None:
            raise DriftproofError("the number of epochs is missing: give epochs=")
        settings = Settings(**more)
    elif more:
        raise DriftproofError(f"settings= and also {', '.join(more)} were given; give one or the other")
    if within_validity or strict:
        for noise in method.noises():
            noise.check_validity()
    if settings.loss is None:
        settings = replace(settings, loss=usual_loss(unwrap(model)))
    if method.updates:
        raise DriftproofError(f"method {method.name} has made {method.updates} updates already; give a new one")
    with distributed(settings.torch_device) as torch_device, random_state_kept(settings.seed):
        all_analog = all_analog or strict
        job = _Run(model, as_data(data), method, settings, validate, higher_is_better, out, torch_device, all_analog)
        return job.run(progress, on_row)


class _Run:
    """One training from its start, or from where it stopped, to its end."""

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        method: Method,
        settings: Settings,
        validate: Validate | None,
        higher_is_better: bool,
        out: str | Path | None,
        torch_device: torch.device,
        all_analog: bool,
    ) -> None:
        self.method, self.settings, self.validate, self.torch_device = method, settings, validate, torch_device
        self.sign = 1 if higher_is_better else -1
        check_numbers(unwrap(model))
        check_training(unwrap(model), settings.precision)
        self.network = copied(unwrap(model)).to(torch_device)
        self.batches = Batches(data, settings, method.closures_per_update)
        self.total = settings.epochs * len(self.batches)
        teacher = (
            None if settings.distillation is None else settings.distillation.frozen_teacher(model).to(torch_device)
        )
        first = to_device(next(iter(data.batches(min(8, len(data)))))[0], torch_device)
        channels_last = any(isinstance(m, nn.Conv2d) for m in self.network.modules())
        for network in (self.network, teacher):
            if channels_last and network is not None:
                to_channels_last(network)
        unused = plain_copy(self.network)
        used = copied(unused)
        example_call(used, first)
        check_function(unused, used, first)
        if all_analog:  # only to check: the method belongs to the caller, so its own settings stay
            AnalogWeights.of(self.network, first, replace(method.on_tiles, all_analog=True))
        method.prepare(self.network, first)
        method.check_settings(settings)
        method.begin(self.total)
        self.model = wrapped(self.network, torch_device, method.norms)
        self.loss = BatchLoss(self.model, teacher, settings, torch_device, channels_last)
        self.optimizer = settings.make_optimizer(self.network)
        self.schedule = settings.make_schedule(self.optimizer, self.total)
        self.scaler = torch.amp.GradScaler(torch_device.type, enabled=settings.precision == "float16")
        self.epoch, self.seconds = 0, 0.0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.out = None if out is None else Path(out).expanduser()
        rows: list[Row] = []
        if self.out is not None:
            make_folder(self.out)
            checkpoint.check_settings(self.out, self._described(model, data))
            rows = self._resume(self.out)
        self.log = Log(self.out if is_first() else None, rows)

    def run(self, progress: bool | None, on_row: Callable[[Row], None] | None) -> Training:
        """Train the epochs that are left."""
        shown = progress if is_first() else False
        with Progress(self.total, shown, "training", self.epoch * len(self.batches)) as bar:
            while self.epoch < self.settings.epochs:
                self._train_epoch(bar, on_row)
                self._checkpoint()
        model = self._result()
        rows, best_epoch, best = from_first((tuple(self.log.rows), self.best_epoch, self.best))
        return Training(model=model, rows=rows, best_epoch=best_epoch, best=best, out=self.out)

    def _train_epoch(self, bar: Progress, on_row: Callable[[Row], None] | None) -> None:
        start, since_row = time.perf_counter() - self.seconds, list[Diagnostics]()
        every = self.settings.log_every or max(1, len(self.batches) // LOG_ROWS_PER_EPOCH)
        self.network.train()
        for number, update in enumerate(self.batches.epoch(self.epoch), start=1):
            lr = float(self.optimizer.param_groups[0]["lr"])
            since_row.append(self._update(update, number))
            bar.step(f"epoch {self.epoch + 1} of {self.settings.epochs}, loss {since_row[-1].loss:.3f}")
            last = number == len(self.batches)
            if last or (number % every == 0 and len(self.batches) - number >= every):
                self.seconds = time.perf_counter() - start  # without validations
                row = row_of(since_row, self.epoch + 1, self.seconds, lr)
                since_row = []
                if last:
                    self._end_epoch(row)
                self.log.add(row)
                if on_row is not None and is_first():
                    on_row(row)

    def _update(self, update: Sequence[tuple[Inputs, Tensor]], number: int) -> Diagnostics:
        closures, clip_norm = self.loss.closures(update), self.settings.clip_norm
        try:
            self.method.step(closures, self.model, self.optimizer, scaler=self.scaler, clip_norm=clip_norm)
        except DriftproofError as error:
            raise self._failure(f", update {number}: {error}") from error
        self.schedule.step()
        assert self.method.last is not None
        return self.method.last

    def _end_epoch(self, row: Row) -> None:
        """Recalibrate norms if that is wanted, validate, and keep the best weights."""
        if self.method.norms == "recalibrate":
            batches = self.batches.epoch(self.epoch + 1)
            inputs = (to_device(x, self.torch_device) for update in batches for x, _ in update)
            recalibrate_norms(self.network, inputs)
        if self.validate is not None and is_first():
            self._validate(self.validate, row)
        self.epoch += 1

    def _validate(self, validate: Validate, row: Row) -> None:
        assert self.method.weights is not None
        network = copied(self.network).eval()  # to eval mode and back would round layers that merge there
        warned = unasked_text(self.method.weights.mapping)
        with random_state_kept(), torch.no_grad(), not_again([warned]):
            value = float(validate(network))
        if not math.isfinite(value):
            raise self._failure(f": the validation value is {value}")
        row["validation"] = value
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best, self.best_epoch = value, self.epoch + 1
            self.best_weights = checkpoint.tensors_of(self.network)
            if self.out is not None:
                write_tensors(self.out / checkpoint.BEST, self.best_weights)

    # --- checkpoints ---

    def _described(self, model: nn.Module, data: Data) -> dict[str, Any]:
        run = describe_run(self.batches.batch_size)
        where = self.method.on_tiles.where
        return (
            self.settings.describe()
            | self.method.describe()
            | checkpoint.describe_validation(self.validate, self.sign)
            | {
                "batch size": str(self.batches.batch_size),
                "model": model_hash(unwrap(model))[:16],
                "data": data.name,
                "samples": len(data),
                "fingerprint": data.fingerprint(),
                "analog layers": (where or "all") if isinstance(where, str | None) else "given in Python",
                "processes": self.batches.processes,
                "made": {"started": run.started, "versions": run.versions, "commit": run.commit},
            }
        )

    def _checkpoint(self) -> None:
        if self.out is None or not is_first():
            return
        assert self.method.weights is not None
        assert not self.method.weights.held, "perturbed weights are never written"
        weights = checkpoint.tensors_of(self.network)
        write_tensors(self.out / checkpoint.LAST, weights)
        state = {name: getattr(self, name) for name in RESTORED_FIELDS} | {
            "weights": weights,
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch, "lr": self.schedule.get_last_lr()},
            "scaler": self.scaler.state_dict(),
            "method": self.method.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.torch_device.type == "cuda" else [],
            "rows": self.log.rows,
        }
        checkpoint.write_state(self.out, state)

    def _resume(self, out: Path) -> list[Row]:
        state = checkpoint.read_state(out)
        if state is None:
            return []
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.schedule._last_lr = state["schedule"]["lr"]
        self.scaler.load_state_dict(state["scaler"])
        self.method.load_state_dict(state["method"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        for name in RESTORED_FIELDS:
            setattr(self, name, state[name])
        return list(state["rows"])

    def _failure(self, text: str) -> DriftproofError:
        """Return an error of the present epoch. It names the last good checkpoint, if there is one."""
        last = ""
        if self.out is not None and self.epoch:
            last = f". The last good checkpoint is {self.out / checkpoint.LAST} (epoch {self.epoch})"
        return DriftproofError(f"epoch {self.epoch + 1}{text}{last}")

    def _result(self) -> nn.Module:
        """Return the trained network, the same in all processes, in the memory order of the given one."""
        network = self.network
        if self.best_weights is not None:
            network.load_state_dict(self.best_weights)
        take_from_first(network)
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()
            parameter.grad = None
        return network.eval()
