"""The base of all methods: one update of the weights from one closure, in any training loop."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from driftproof._batch_norm import norms_with_statistics
from driftproof._calls.analog import check_digital
from driftproof._defaults import DIAGNOSE_EVERY, SEED
from driftproof._errors import DriftproofError, check_choice
from driftproof._inputs import Inputs
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import TileSize, unwrap
from driftproof._old_paths import old_attribute
from driftproof.training._clipping import ClipWeights
from driftproof.training._closures import inputs_copied, inputs_of_first_pass, key_of, shards_of
from driftproof.training._methods.by_name import make_known
from driftproof.training._noise import Noise
from driftproof.training._norms import NormPolicy, statistics_kept
from driftproof.training._passes import Closure, Closures, Passes
from driftproof.training._schedules import STRENGTH, Schedule, StrengthLike, as_schedule
from driftproof.training._update import Shared, Update, check_clip_norm
from driftproof.training._weights import AnalogWeights, OnTiles


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """Diagnostics of one update.

    Attributes:
        step: Number of the update, from 0.
        strength: Strength of the perturbation.
        loss: Loss where the gradient was computed.
        update_norm: Euclidean norm of the gradient that the optimizer was given, before clipping.
        skipped: Whether the optimizer's step was skipped because a gradient overflowed in half precision.
        clipped: Number of weights that were clipped afterwards.
        more: Further measurements of the method, each the mean of the micro-batches in which it was made, such as
            ``clean_loss``, ``noise`` (root mean square of the error / column's maximum) and ``gradient_sharpness``.
    """

    step: int
    strength: float
    loss: float
    update_norm: float
    skipped: bool
    clipped: int
    more: dict[str, float]

    level = old_attribute("strength")


class Method(ChecksKeywords, ABC):
    """A way to make one update: ``loss = method.step(closure, model, optimizer)`` replaces forward, backward and step.

    A subclass computes the gradient of one micro-batch in :meth:`gradient` (``mixed_rwp.py`` is a short example). A
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

    name: str = ""
    noisy: bool = True
    """Whether the method perturbs weights."""
    closures_per_update: int = 1
    """Number of batches that the method takes for one micro-batch."""
    described: ClassVar[tuple[str, ...]] = ()
    """Attributes that :meth:`describe` lists, in addition to those of the class above."""
    remembered: ClassVar[tuple[str, ...]] = ()
    """Attributes that change during training and belong to the state, in addition to those of the class above."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a method with a name known by it."""
        super().__init_subclass__(**options)
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
    def gradient(self, passes: Passes, closures: Closures) -> Tensor:
        """Add the gradient of one micro-batch to ``.grad``; return the loss where it was computed."""

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
                before; a noise that perturbs nothing.
        """
        shards = shards_of(closure, self.closures_per_update)
        check_clip_norm(clip_norm)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise DriftproofError("LBFGS searches along a line with its own passes; take SGD, AdamW or another one")
        weights = self._prepared(model, shards[0][0])
        optimizer.zero_grad()
        # two sampled strengths are independent, because each has its own seed
        strengths = tuple(
            schedule.at(self.updates, self.total, self.seed + (place << 32))
            for place, schedule in enumerate(self.schedules())
        )
        update = Update(
            model=model,
            weights=weights,
            optimizer=optimizer,
            scaler=scaler if scaler is not None and scaler.is_enabled() else None,
            strengths=strengths,
            step=self.updates,
        )
        with ExitStack() as undo, statistics_kept(self._norms, on_failure_only=True), inputs_copied(model):
            undo.callback(self.load_state_dict, self.state_dict())
            loss, measured = self._gradients(shards, update)
            norm, skipped = update.make(self.finish, clip_norm)
            undo.pop_all()
        self.last = Diagnostics(
            step=self.updates,
            strength=update.strength,
            loss=float(loss),
            update_norm=norm,
            skipped=skipped,
            clipped=self.clip.apply(weights, update.trained) if self.clip is not None and not skipped else 0,
            more={name: sum(map(float, values)) / len(values) for name, values in measured.items()},
        )
        if not skipped:
            for schedule in self.schedules():
                schedule.observe(norm, self.total)
        self.updates += 1
        return loss

    def _gradients(self, shards: list[list[Closure]], update: Update) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """Sum the gradients of all micro-batches; return the loss, and what was measured in each."""
        measured: dict[str, list[Tensor]] = defaultdict(list)
        losses = []
        shared = {part.name: getattr(update, part.name) for part in fields(Shared)}
        for index, shard in enumerate(shards):
            passes = Passes(
                **shared,
                norms=self._norms,
                policy=self.norms,
                share=1 / len(shards),
                last=index == len(shards) - 1,
                key=key_of(self.seed, self.updates, index, len(shards)),
                diagnose=bool(self.diagnose_every) and self.updates % self.diagnose_every == 0 and index == 0,
            )
            losses.append(self.gradient(passes, shard).float() / len(shards))
            for name, value in passes.measured.items():
                measured[name].append(value)
        return torch.stack(losses).sum(), measured

    # --- before the first update ---

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

    # --- state, to resume a run ---

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the method, with which a stopped run can be resumed."""
        remembered = {name: copy.copy(getattr(self, name)) for name in self._declared("remembered")}
        schedules = [schedule.state_dict() for schedule in self.schedules()]
        return {"method": self.name, "updates": self.updates, "schedules": schedules} | remembered

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a method of the same settings.

        Raises:
            DriftproofError: The state of another method.
        """
        if state.get("method") != self.name:
            raise DriftproofError(f"this is the state of a method {state.get('method')!r}; this one is {self.name}")
        self.updates = state["updates"]
        for schedule, its_state in zip(self.schedules(), state["schedules"], strict=True):
            schedule.load_state_dict(its_state)
        for name in self._declared("remembered"):
            setattr(self, name, copy.deepcopy(state[name]))

    def describe(self) -> dict[str, str]:
        """Return the settings as text, for a log."""
        tiles = self.on_tiles
        tile = tiles.tile or TileSize()
        values = {name.replace("_", " "): getattr(self, name) for name in self._declared("described")}
        return {
            "method": self.name,
            "strength": str(self.strength),
            "norms": self.norms,
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {tiles.scale}"
            + ("" if tiles.clip is None else f", clipped at percentile {tiles.clip:g}"),
            "weight clipping": "none" if self.clip is None else str(self.clip),
            "seed": str(self.seed),
        } | {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}

    @classmethod
    def _declared(cls, table: str) -> list[str]:
        """Return the names that ``described`` or ``remembered`` lists, those of the highest class first."""
        return [name for kind in reversed(cls.__mro__) for name in vars(kind).get(table, ())]
