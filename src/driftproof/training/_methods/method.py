"""The base of all methods: one update of the weights from one closure, in any training loop."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from typing import Any, get_args

import torch
from torch import Tensor, nn

from driftproof._defaults import DIAGNOSE_EVERY, SEED
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import ChecksKeywords
from driftproof.training._clipping import ClipWeights, as_clip
from driftproof.training._closures import inputs_copied, key_of, shards_of
from driftproof.training._methods.by_name import make_known
from driftproof.training._methods.diagnostics import Diagnostics
from driftproof.training._methods.gradient_only import GradientOnly
from driftproof.training._methods.own_loop import OwnLoop
from driftproof.training._methods.preparation import Preparation
from driftproof.training._noise import Noise
from driftproof.training._norms import NormPolicy, statistics_kept
from driftproof.training._parallel import check_exchange
from driftproof.training._passes import Closure, Closures, Passes
from driftproof.training._schedules import STRENGTH, Schedule, StrengthLike, as_schedule
from driftproof.training._update import Shared, Update, check_clip_norm
from driftproof.training._weights import OnTiles


class Method(ChecksKeywords, GradientOnly, Preparation):
    """A way to make one update: ``loss = method.step(closure, model, optimizer)`` replaces forward, backward and step.

    A subclass computes the gradient of one micro-batch in :meth:`accumulate` (``mixed_rwp.py`` is a short example). A
    subclass with a ``name`` is known by it as soon as its file is imported, and takes noise, strength and rho if its
    constructor has keywords of these names. A class that is incomplete, or whose name another class has, cannot be
    defined.

    Args:
        strength: Strength of the perturbation, a number or a schedule (default: 1).
        norms: Which pass updates the running statistics of norms (:data:`driftproof.training._norms.NormPolicy`).
        clip: Weight clipping after each update (default: none).
        on_tiles: Which weights are analog, how they are mapped, and whether every weight of a matrix multiplication has
            to be analog (default: every weight that can be is analog).
        seed: Seed of the draws (default: 0).
        diagnose_every: Updates between diagnostics that cost a pass; 0 for never (default: 0).

    Attributes:
        last: Diagnostics of the last update.
        updates: Number of updates that the method has made.
    """

    noisy: bool = True
    """Whether the method perturbs weights."""
    closures_per_update: int = 1
    """Number of batches that the method takes for one micro-batch."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a method with a name known by it.

        Raises:
            DriftproofError: The class defines a hook under its name in version 0.1.
        """
        super().__init_subclass__(**options)
        for old, now in (("gradient", "accumulate"), ("perturbed", "drawn")):
            if old in vars(cls):
                raise DriftproofError(f"method {cls.__name__}: its {old}(passes, ...) is called {now}(passes, ...) now")
        if vars(cls).get("name"):
            make_known(cls)

    def __init__(
        self,
        *,
        strength: StrengthLike = STRENGTH,
        norms: NormPolicy,
        clip: ClipWeights | None = None,
        on_tiles: OnTiles | None = None,
        seed: int = SEED,
        diagnose_every: int = DIAGNOSE_EVERY,
    ) -> None:
        check_choice("norms", norms, get_args(NormPolicy))
        if seed < 0:
            raise DriftproofError(f"method {self.name}: wanted a seed that is not negative, got {seed}")
        # a copy, because an adaptive strength is the state of one method
        self.strength, self.norms, self.clip = copy.copy(as_schedule(strength)), norms, as_clip(clip)
        self.on_tiles, self.seed, self.diagnose_every = on_tiles or OnTiles(), seed, diagnose_every
        self.updates = 0
        self.last: Diagnostics | None = None
        self._own_loop = OwnLoop(self)
        if self.noisy and self.strength.largest == 0:
            raise DriftproofError(
                f"method {self.name}: its strength is zero throughout, so it would perturb nothing; use Plain()"
            )

    # --- one update ---

    @abstractmethod
    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Add the gradient of one micro-batch to ``.grad``; return the loss where it was computed."""

    def weights_of_one_pass(self, passes: Passes) -> dict[str, Tensor]:
        """Return the weights at which the method makes its only pass: array name → weights; others stay.

        Raises:
            DriftproofError: The method makes several passes.
        """
        raise DriftproofError(
            f"method {self.name} makes several passes for a gradient, so perturbed() cannot make it; call "
            "gradient(closure, model)"
        )

    def finish(self, update: Update) -> bool:
        """Change the gradient of the whole update, or take note of it; return whether it was changed.

        It is called once for all micro-batches, when their gradients are summed and exchanged, unless one is not
        finite. It has to do the same in all processes: otherwise their weights would differ.
        """
        return False

    def schedules(self) -> list[Schedule]:
        """Return the schedules of all perturbations, that of :attr:`strength` first and that of a noise last."""
        return [self.strength]

    def noises(self) -> list[Noise]:
        """Return the noises that the method draws."""
        return []

    def step(
        self,
        closure: Closure | Sequence[Closure],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        scaler: torch.amp.GradScaler | None = None,
        clip_norm: float | None = None,
    ) -> Tensor:
        """Make one update and return the loss where its gradient was computed.

        Afterwards there are no gradients, so that an optimizer that steps once more changes nothing. Each pass gets a
        copy of the network's inputs, and leaves weights, buffers and random states as a pass without a method does.

        Args:
            closure: Forward pass that returns the loss, without backward. It may be called several times and has to
                compute the same batch each time. Each closure of a list is one micro-batch (gradient accumulation):
                every micro-batch has its own perturbation, and the update is their mean. All processes give
                equally many.
            model: Network that the closure calls, in its wrappers.
            optimizer: Any optimizer but LBFGS; its gradients are set to zero here.
            scaler: Scaler of the loss in float16 (default: none).
            clip_norm: Largest norm of the gradient (default: no clipping).

        Raises:
            DriftproofError: A loss that is not finite (nothing is updated); a network on tiles; another network than
                before; a noise that perturbs nothing; several processes and a network without its wrapper.
        """
        shards = shards_of(closure, self.closures_per_update)
        check_clip_norm(clip_norm)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise DriftproofError("LBFGS searches along a line with its own passes; take SGD, AdamW or another one")
        check_exchange(model, "the update")
        self.prepared(model, shards[0][0])
        optimizer.zero_grad()
        update = self.new_update(model, optimizer, scaler if scaler is not None and scaler.is_enabled() else None)
        kept = statistics_kept(self.norms_with_statistics, on_failure_only=True)
        with inputs_copied(model), kept, ExitStack() as undo:
            undo.callback(self.load_state_dict, self.state_dict())
            loss, measured = self.gradients_of(shards, update, 0, len(shards))
            self.check_exchanged(model)
            norm, skipped = update.make(self.finish, clip_norm)
            undo.pop_all()
        clipped = self.clip.apply(update.weights, update.trained) if self.clip is not None and not skipped else 0
        self.note(update, float(loss), norm, measured, skipped=skipped, clipped=clipped)
        optimizer.zero_grad()
        return loss

    @property
    def changes_gradients(self) -> bool:
        """Whether the method looks at the gradient of the whole update."""
        return type(self).finish is not Method.finish or any(
            type(schedule).observe is not Schedule.observe for schedule in self.schedules()
        )

    def new_update(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, scaler: torch.amp.GradScaler | None
    ) -> Update:
        """Return the next update, with the strengths of its perturbations."""
        assert self.weights is not None
        # two sampled strengths are independent, because each has its own seed
        strengths = tuple(
            schedule.at(self.updates, self.total, self.seed + (place << 32))
            for place, schedule in enumerate(self.schedules())
        )
        return Update(
            model=model,
            weights=self.weights,
            optimizer=optimizer,
            scaler=scaler,
            strengths=strengths,
            step=self.updates,
        )

    def passes_of(self, update: Update, part: int, parts: int | None) -> Passes:
        """Return what the method can do with one micro-batch of an update; None if their number is not known."""
        shared = {field.name: getattr(update, field.name) for field in fields(Shared)}
        return Passes(
            **shared,
            norms=self.norms_with_statistics,
            policy=self.norms,
            share=1 if parts is None else 1 / parts,
            last=parts is None or part == parts - 1,
            key=key_of(self.seed, update.step, part, parts),
            diagnose=bool(self.diagnose_every) and update.step % self.diagnose_every == 0 and part == 0,
        )

    def gradients_of(
        self, shards: list[list[Closure]], update: Update, first: int, parts: int | None
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """Sum the gradients of some micro-batches; return the loss, and what was measured in each.

        Args:
            shards: The closures of each micro-batch.
            update: The update.
            first: Number of the first of them in the update.
            parts: Number of all micro-batches of the update; None if it is not known.
        """
        measured: dict[str, list[Tensor]] = defaultdict(list)
        losses = []
        for part, shard in enumerate(shards, start=first):
            passes = self.passes_of(update, part, parts)
            losses.append(self.accumulate(passes, shard).float() / (parts or 1))
            for name, value in passes.measured.items():
                measured[name].append(value)
        return torch.stack(losses).sum(), measured

    def note(
        self,
        update: Update,
        loss: float,
        norm: float,
        measured: dict[str, list[Tensor]],
        *,
        skipped: bool = False,
        clipped: int = 0,
        again: bool = False,
    ) -> None:
        """Take note of an update that was made: :attr:`last`, the schedules, and the number of updates.

        Args:
            update: The update.
            loss: Its loss.
            norm: Norm of its gradient.
            measured: What was measured in its micro-batches.
            skipped: Whether the optimizer's step was skipped.
            clipped: Number of weights that were clipped.
            again: Whether it was counted before, with fewer micro-batches.
        """
        self.last = Diagnostics(
            step=update.step,
            strength=update.strength,
            loss=loss,
            update_norm=norm,
            skipped=skipped,
            clipped=clipped,
            more={name: sum(map(float, values)) / len(values) for name, values in measured.items()},
        )
        if again:
            return
        if not skipped:
            for schedule in self.schedules():
                schedule.observe(norm, self.total)
        self.updates += 1
