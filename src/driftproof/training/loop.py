"""The training loop: epochs of a method's updates, validated, logged, and kept so that it goes on where it stopped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.data import Data, as_data
from driftproof.data.augmentation import as_augmentation
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs, call, main_output, to_device
from driftproof.keywords import check_keywords, keywords_of
from driftproof.mapping import unasked_text, unwrap
from driftproof.progress import Progress
from driftproof.provenance import describe_run, model_hash
from driftproof.training import checkpoint
from driftproof.training.batches import Batches
from driftproof.training.distillation import freeze
from driftproof.training.log import Log, Row, Window
from driftproof.training.losses import as_loss
from driftproof.training.methods import Method, Plain
from driftproof.training.noise import check_noise_validity
from driftproof.training.norms import recalibrate_norms
from driftproof.training.parallel import distributed, from_first, is_first, processes, take_from_first, wrapped
from driftproof.training.random_state import random_state_kept
from driftproof.training.said_once import not_again
from driftproof.training.settings import Settings
from driftproof.training.weights import AnalogWeights

type Validate = Callable[[nn.Module], float]
"""A network in eval mode with clean weights → a number that says how good it is."""
ROWS_AN_EPOCH = 10


@dataclass(frozen=True, kw_only=True)
class Training:
    """What came out of a training.

    Attributes:
        model: the trained network in eval mode: that of the best epoch if there was a validation, else the last one.
        rows: the log, a row of means every few updates.
        best_epoch: counted from 1; None without a validation.
        best: its validation.
        out: folder of the checkpoints, if there is one.
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

    The same call with the same ``out`` goes on with a stopped run, to the very numbers of one that never stopped.
    Under ``torchrun`` every process takes its share of each batch.

    Args:
        model: the network to start from; it is not changed.
        data: of any kind that :func:`driftproof.evaluate` takes; random transforms of a dataset are drawn anew.
        method: how an update is made; by default :class:`Plain`.
        epochs: passes through the data.
        settings: everything else, or give its parts here by name (``lr=0.03, augment="crop-flip"``).
        validate: a network in eval mode → how good it is, after every epoch; decides which epoch is the best one.
            ``driftproof.ChipValidation`` measures on chips.
        higher_is_better: of the validation.
        out: folder for ``best.safetensors``, ``last.safetensors``, the state of the run, and ``log.csv``.
        progress: show a progress bar; by default when the terminal is interactive.
        on_row: called with each new row of the log.
        all_analog: refuse a network of which a weight that multiplies would stay digital unasked, instead of a warning;
            what the method's ``on_tiles`` says counts, as with ``OnTiles(all_analog=True)``.
        within_validity: refuse noise at times outside the device's range of validity, instead of warning.
        strict: both ``all_analog`` and ``within_validity``.
        more: parts of :class:`Settings`.

    Raises:
        DriftproofError: impossible or unknown settings; another training in the folder; with ``all_analog`` a weight
            that would stay digital, with ``within_validity`` noise outside the range of validity; a loss that is not
            finite: the last good checkpoint is kept.

    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> method = dp.RWP(noise=dp.load_preset("pcm-nandakumar-2019").at("1d"), strength=dp.ramp("quadratic", to=2.0))
    >>> robust = train(trained_digits_cnn(), digits("train").head(256), method=method, epochs=1, lr=0.001)
    >>> robust.rows[-1]["updates"]
    2
    """
    check_keywords("train", more, dict.fromkeys([*keywords_of(train), *Settings.keywords()]))
    method = method if method is not None else Plain()
    if settings is None:
        if epochs is None:
            raise DriftproofError("how many epochs? Give epochs=")
        settings = Settings(epochs=epochs, **more)
    elif more or epochs is not None:
        beside = [*more, *(["epochs"] if epochs is not None else [])]
        raise DriftproofError(f"settings came and {', '.join(beside)} beside them; give one or the other")
    if within_validity or strict:
        for noise in method.noises():
            check_noise_validity(noise)
    if method.updates:
        raise DriftproofError(f"method {method.name} has made {method.updates} updates already; give a new one")
    with distributed(settings.device) as device, random_state_kept(settings.seed):
        all_analog = all_analog or strict
        run = _Run(model, as_data(data), method, settings, validate, higher_is_better, out, device, all_analog)
        return run.go(progress, on_row)


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
        device: torch.device,
        all_analog: bool,
    ) -> None:
        self.method, self.settings, self.validate, self.device = method, settings, validate, device
        self.sign = 1 if higher_is_better else -1
        self.network = copy.deepcopy(unwrap(model)).to(device)
        self.rank, self.processes = processes()
        self.batches = Batches(
            data,
            settings.batch_size,
            settings.micro_batches * method.closures_per_update,
            settings.seed,
            as_augmentation(settings.augment),
            self.rank,
            self.processes,
        )
        self.total = settings.epochs * len(self.batches)
        self.loss = as_loss(settings.loss)[1]
        self.teacher = self._teacher(model)
        first = to_device(next(iter(data.batches(min(8, len(data)))))[0], device)
        self.channels_last = any(isinstance(m, nn.Conv2d) for m in self.network.modules())
        if self.channels_last:  # the same numbers but for rounding, nearly twice as fast
            self._to_channels_last()
        if all_analog:  # asked of this training, so the method stays as it was given
            AnalogWeights.of(self.network, first, replace(method.on_tiles, all_analog=True))
        method.prepare(self.network, first)
        method.begin(self.total)
        self.model = wrapped(self.network, device, method.norms)
        self.optimizer = settings.make_optimizer(self.network)
        self.schedule = settings.make_schedule(self.optimizer, self.total)
        half = settings.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type) if half else None
        self.epoch = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.out = None if out is None else Path(out).expanduser()
        self.seconds, rows = 0.0, list[Row]()
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            checkpoint.check_settings(self.out, self._described(model, data))
            rows = self._resume(self.out)
        self.log = Log(self.out if is_first() else None, rows)

    def go(self, progress: bool | None, on_row: Callable[[Row], None] | None) -> Training:
        """Train the epochs that are left."""
        shown = progress if is_first() else False
        every = self.settings.log_every or max(1, len(self.batches) // ROWS_AN_EPOCH)
        with Progress(self.total, shown, "training", self.epoch * len(self.batches)) as bar:
            while self.epoch < self.settings.epochs:
                self._train_epoch(bar, every, on_row)
        model = self._result()
        rows, best_epoch, best = from_first((tuple(self.log.rows), self.best_epoch, self.best))
        return Training(model=model, rows=rows, best_epoch=best_epoch, best=best, out=self.out)

    def _train_epoch(self, bar: Progress, every: int, on_row: Callable[[Row], None] | None) -> None:
        start, window = time.perf_counter() - self.seconds, Window()
        self.network.train()
        for number, update in enumerate(self.batches.epoch(self.epoch), start=1):
            lr = float(self.optimizer.param_groups[0]["lr"])
            try:
                self.method.step(
                    self._closures(update),
                    self.model,
                    self.optimizer,
                    scaler=self.scaler,
                    clip_norm=self.settings.clip_norm,
                )
            except DriftproofError as error:
                raise DriftproofError(f"epoch {self.epoch + 1}, update {number}: {error}{self._kept()}") from error
            self.schedule.step()
            assert self.method.last is not None
            window.add(self.method.last)
            bar.step(f"epoch {self.epoch + 1} of {self.settings.epochs}, loss {self.method.last.loss:.3f}")
            last = number == len(self.batches)
            if last or (number % every == 0 and len(self.batches) - number >= every):
                row = window.row(self.epoch + 1, time.perf_counter() - start, lr)
                if last:
                    self._end_epoch(row, time.perf_counter() - start)
                self.log.add(row)
                if on_row is not None and is_first():
                    on_row(row)
        self._checkpoint()

    def _end_epoch(self, row: Row, seconds: float) -> None:
        """Recalibrate norms if that is wanted, validate, and keep the best weights."""
        if self.method.norms == "recalibrate":
            inputs = (to_device(x, self.device) for update in self.batches.epoch(self.epoch + 1) for x, _ in update)
            recalibrate_norms(self.network, inputs)
        if self.validate is not None and is_first():
            self._validate(row)
        self.epoch += 1
        self.seconds = seconds

    def _validate(self, row: Row) -> None:
        assert self.validate is not None
        assert self.method.weights is not None
        self.network.eval()
        said = unasked_text(self.method.weights.mapping)
        with random_state_kept(), torch.no_grad(), not_again([said]):
            value = float(self.validate(self.network))
        if not math.isfinite(value):
            raise DriftproofError(f"epoch {self.epoch + 1}: the validation is {value}{self._kept()}")
        row["validation"] = value
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best, self.best_epoch = value, self.epoch + 1
            self.best_weights = checkpoint.tensors_of(self.network)
            if self.out is not None:
                checkpoint.write_weights(self.best_weights, self.out / checkpoint.BEST)

    # --- one update ---

    def _closures(self, update: Sequence[tuple[Inputs, Tensor]]) -> list[Callable[[], Tensor]]:
        return [partial(self._loss_of, *self._placed(inputs, targets)) for inputs, targets in update]

    def _placed(self, inputs: Inputs, targets: Tensor) -> tuple[Inputs, Tensor, Tensor | None]:
        """Return a micro-batch on the device, with the teacher's outputs: once, however often the loss is computed."""
        inputs, targets = to_device(inputs, self.device), targets.to(self.device)
        if self.channels_last and isinstance(inputs, Tensor) and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if self.teacher is None:
            return inputs, targets, None
        with torch.no_grad(), self._autocast():
            return inputs, targets, main_output(call(self.teacher, inputs)).float()

    def _loss_of(self, inputs: Inputs, targets: Tensor, taught: Tensor | None) -> Tensor:
        with self._autocast():
            returned = call(self.model, inputs)
        loss = self.loss(returned, targets)
        if taught is None or self.settings.distil is None:
            return loss
        return self.settings.distil.loss(loss, main_output(returned), taught)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, self.settings.dtype)

    def _teacher(self, model: nn.Module) -> nn.Module | None:
        if self.settings.distil is None:
            return None
        given = self.settings.distil.teacher
        return freeze(copy.deepcopy(unwrap(model if given is None else given)).to(self.device))

    def _to_channels_last(self) -> None:
        for network in [self.network, *([self.teacher] if self.teacher is not None else [])]:
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    # --- what is kept ---

    def _described(self, model: nn.Module, data: Data) -> dict[str, Any]:
        run = describe_run(self.settings.batch_size)
        asked = self.method.on_tiles
        where = asked.where if isinstance(asked.where, str | None) else "given in Python"
        return (
            self.settings.describe()
            | self.method.describe()
            | _described_validation(self.validate, self.sign)
            | {
                "model": model_hash(unwrap(model))[:16],
                "data": data.name,
                "samples": len(data),
                "fingerprint": data.fingerprint(),
                "analog layers": "all" if where is None else where,
                "processes": self.processes,
                "made": {"started": run.started, "versions": run.versions, "commit": run.commit},
            }
        )

    def _checkpoint(self) -> None:
        if self.out is None or not is_first():
            return
        assert self.method.weights is not None
        assert not self.method.weights.held, "perturbed weights are never kept"
        weights = checkpoint.tensors_of(self.network)
        checkpoint.write_weights(weights, self.out / checkpoint.LAST)
        state = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "weights": weights,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch, "lr": self.schedule.get_last_lr()},
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "method": self.method.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
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
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.method.load_state_dict(state["method"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.best, self.best_epoch, self.best_weights = state["best"], state["best_epoch"], state["best_weights"]
        return list(state["rows"])

    def _kept(self) -> str:
        if self.out is None or not self.epoch:
            return ""
        return f". The last good checkpoint is {self.out / checkpoint.LAST} (epoch {self.epoch})"

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


def _described_validation(validate: Validate | None, sign: int) -> dict[str, str]:
    """Return what has to be the same for the best epoch of a run that goes on to be the best of all."""
    if validate is None:
        return {"validation": "none"}
    describe = getattr(validate, "describe", None)
    parts = {} if describe is None else describe()
    return {
        "validation": getattr(validate, "__qualname__", type(validate).__qualname__),
        "validation's best": "highest" if sign > 0 else "lowest",
    } | {f"validation's {name}": value for name, value in parts.items()}
