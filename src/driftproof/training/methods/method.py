"""What all methods share: one update of the weights from one closure, in anybody's loop."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.batch_norm import norms_with_statistics
from driftproof.defaults import DIAGNOSE_EVERY, SEED
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.keywords import ChecksKeywords
from driftproof.mapping import TileSize, unwrap
from driftproof.training.clipping import ClipWeights
from driftproof.training.first_pass import inputs_of_first_pass
from driftproof.training.methods.known import make_known
from driftproof.training.micro_batches import as_closures, key_of, shards_of
from driftproof.training.noise import Noise
from driftproof.training.norms import NormPolicy, check_policy, statistics_kept_on_failure
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedule_text import as_schedule
from driftproof.training.schedules import STRENGTH, Schedule
from driftproof.training.update import Update, check_clip_norm, make_update, own_weights
from driftproof.training.weights import AnalogWeights, OnTiles, check_digital


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What one update was.

    Attributes:
        step: its number, from 0.
        level: strength of the perturbation.
        loss: where the gradient was taken.
        update_norm: Euclidean norm of the gradient that the optimizer was given, before clipping.
        skipped: whether the optimizer's step was left out, since a gradient overflowed in half precision.
        clipped: how many weights were clipped afterwards.
        more: what else the method measured, the mean of the micro-batches in which it did, such as ``clean_loss``,
            ``noise`` (root mean square of the error / column's maximum) and ``gradient_sharpness``.
    """

    step: int
    level: float
    loss: float
    update_norm: float
    skipped: bool
    clipped: int
    more: dict[str, float]


class Method(ChecksKeywords, ABC):
    """A way to make one update: ``loss = method.step(closure, model, optimizer)`` in place of forward, backward, step.

    A subclass has the gradient of one micro-batch as :meth:`gradient` (``two_point.py`` is a short one). With a
    ``name`` of its own it is known by it as soon as its file is imported, and takes noise, strength and rho if its
    constructor has keywords of these names; a class that is incomplete, or has another one's name, cannot be made.

    Args:
        strength: of the perturbation, a number or a schedule.
        norms: which passes move the running statistics of norms (:data:`driftproof.training.norms.NormPolicy`).
        clip: weight clipping after each update.
        on_tiles: which weights are analog, how they are mapped, and whether all that multiply have to be (all_analog).
        seed: of the draws.
        diagnose_every: how often diagnostics that cost a pass are measured, in updates; 0 for never.

    Attributes:
        last: diagnostics of the last update.
        updates: how many updates it has made.
    """

    name: str = ""
    noisy: bool = True
    """Whether the method perturbs at all."""
    closures_per_update: int = 1
    """How many batches it wants for one micro-batch."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a method known by a name of its own."""
        super().__init_subclass__(**options)
        name = vars(cls).get("name")
        if isinstance(name, str) and name:
            make_known(cls)

    def __init__(
        self,
        *,
        strength: float | Schedule | str = STRENGTH,
        norms: NormPolicy,
        clip: ClipWeights | None = None,
        on_tiles: OnTiles | None = None,
        seed: int = SEED,
        diagnose_every: int = DIAGNOSE_EVERY,
    ) -> None:
        check_policy(norms)
        if seed < 0:
            raise DriftproofError(f"method {self.name}: wanted a seed that is not negative, got {seed}")
        # a copy: a strength that adapts is the state of one method
        self.strength, self.norms, self.clip = copy.copy(as_schedule(strength)), norms, clip
        self.on_tiles, self.seed, self.diagnose_every = on_tiles or OnTiles(), seed, diagnose_every
        self.weights: AnalogWeights | None = None
        self.updates = 0
        self.total: int | None = None
        self.last: Diagnostics | None = None
        self._norms: Sequence[nn.Module] = ()
        if self.noisy and self.strength.largest == 0:
            raise DriftproofError(
                f"method {self.name}: its strength is zero throughout, so it would perturb nothing; use Plain()"
            )

    # --- one update ---

    @abstractmethod
    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """Add the gradient of one micro-batch to ``.grad``; return the loss where it was taken."""

    def finish(self, update: Update) -> bool:
        """Change the gradient of the whole update, or take note of it; return whether it was changed.

        Called once for all micro-batches, when their gradients are summed and exchanged, unless one is not finite.
        What it does and keeps has to be the same in all processes: else their weights part.
        """
        return False

    def schedules(self) -> list[Schedule]:
        """Return all that the method has, the perturbation's own first."""
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
        """Make one update and return the loss where its gradient was taken.

        Args:
            closure: a forward pass that returns the loss, without backward; it may be called several times and has to
                compute the same batch each time. A list of them is one micro-batch each (gradient accumulation): every
                micro-batch has a perturbation of its own, and the update is their mean. Several processes give
                equally many.
            model: the network that the closure calls, in its wrappers.
            optimizer: any; its gradients are set to zero here.
            scaler: of the loss in float16.
            clip_norm: largest norm of the gradient.

        Raises:
            DriftproofError: a loss that is not finite (nothing is updated); a network on tiles; another network than
                before; nothing perturbed.
        """
        closures = as_closures(closure)
        check_clip_norm(clip_norm)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise DriftproofError("LBFGS searches along a line with passes of its own; take SGD, AdamW or another one")
        if scaler is not None and not scaler.is_enabled():
            scaler = None
        weights = self._prepared(model, closures[0])
        own = own_weights(weights, optimizer)
        optimizer.zero_grad()
        # two sampled strengths are independent: each has a seed of its own
        seeds = [self.seed + (place << 32) for place in range(len(self.schedules()))]
        levels = tuple(
            schedule.level(self.updates, self.total, seed)
            for schedule, seed in zip(self.schedules(), seeds, strict=True)
        )
        before = self.state_dict()
        try:
            with statistics_kept_on_failure(self._norms):
                loss, kept, found = self._gradients(closures, model, weights, levels, scaler)
                update = Update(
                    model=model,
                    weights=weights,
                    gradients={name: weight.grad for name, weight in own.items() if weight.grad is not None},
                    level=levels[0],
                    step=self.updates,
                    kept=kept,
                )
                norm, skipped = make_update(update, optimizer, self.finish, scaler, clip_norm)
        except BaseException:
            self.load_state_dict(before)
            raise
        clipped = self.clip.apply(weights, own) if self.clip is not None and not skipped else 0
        self.last = Diagnostics(
            step=self.updates,
            level=levels[0],
            loss=float(loss),
            update_norm=norm,
            skipped=skipped,
            clipped=clipped,
            more={name: sum(map(float, values)) / len(values) for name, values in found.items()},
        )
        if not skipped:
            for schedule in self.schedules():
                schedule.observe(norm, self.total)
        self.updates += 1
        return loss

    def _gradients(
        self,
        closures: list[Closure],
        model: nn.Module,
        weights: AnalogWeights,
        levels: tuple[float, ...],
        scaler: torch.amp.GradScaler | None,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, list[Tensor]]]:
        """Sum the gradients of all micro-batches; return the loss, what they kept, and what was measured."""
        shards = shards_of(closures, self.closures_per_update)
        diagnose = bool(self.diagnose_every) and self.updates % self.diagnose_every == 0
        kept: dict[str, Tensor] = {}
        found: dict[str, list[Tensor]] = {}
        losses = []
        for index, shard in enumerate(shards):
            passes = Passes(
                model=model,
                weights=weights,
                norms=self._norms,
                policy=self.norms,
                scaler=scaler,
                share=1 / len(shards),
                last=index == len(shards) - 1,
                levels=levels,
                key=key_of(self.seed, self.updates, index, len(shards)),
                step=self.updates,
                diagnose=diagnose and index == 0,
                kept=kept,
            )
            losses.append(self.gradient(passes, shard).float() / len(shards))
            for name, value in passes.found.items():
                found.setdefault(name, []).append(value)
        return torch.stack(losses).sum(), kept, found

    # --- before the first update ---

    def begin(self, total: int) -> None:
        """Say how many updates the run has, for schedules that span it.

        Raises:
            DriftproofError: a schedule that is longer than the run.
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
        self.weights = AnalogWeights.of(model, example, self.on_tiles)
        self._norms = norms_with_statistics(self.weights.network)
        return self.weights

    def _prepared(self, model: nn.Module, closure: Closure) -> AnalogWeights:
        if self.weights is None:
            check_digital(unwrap(model))
            return self.prepare(model, inputs_of_first_pass(model, closure))
        if self.weights.network is not unwrap(model):
            raise DriftproofError(
                f"method {self.name} was prepared for another network; make a new one, or call prepare(model, example)"
            )
        self.weights.check_current()
        return self.weights

    # --- a run that goes on ---

    def state_dict(self) -> dict[str, Any]:
        """Return what the method has become: for a run that goes on later as if it had not stopped."""
        schedules = [schedule.state_dict() for schedule in self.schedules()]
        return {"method": self.name, "updates": self.updates, "schedules": schedules} | self._own_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a method of the same settings was.

        Raises:
            DriftproofError: it is the state of another method.
        """
        if state.get("method") != self.name:
            raise DriftproofError(f"this is the state of a method {state.get('method')!r}; this one is {self.name}")
        self.updates = state["updates"]
        for schedule, own in zip(self.schedules(), state["schedules"], strict=True):
            schedule.load_state_dict(own)
        self._load_own_state(state)

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: dict[str, Any]) -> None:  # most have none
        """Take over what a method has beyond its updates and its strength."""

    def describe(self) -> dict[str, str]:
        """Return the settings as text, for a log."""
        tiles = self.on_tiles
        tile = tiles.tile or TileSize()
        return {
            "method": self.name,
            "strength": str(self.strength),
            "norms": self.norms,
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {tiles.scale}"
            + ("" if tiles.clip is None else f", clipped at percentile {tiles.clip:g}"),
            "weight clipping": "none" if self.clip is None else str(self.clip),
            "seed": str(self.seed),
        }
