"""What all methods share: one update of the weights from one closure, in anybody's loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.mapping import unwrap
from driftproof.training.clipping import ClipWeights
from driftproof.training.noise import Key
from driftproof.training.norms import NormPolicy, check_policy, norms_of
from driftproof.training.passes import Closure, Passes
from driftproof.training.random_state import random_state_kept
from driftproof.training.schedules import Schedule, as_schedule
from driftproof.training.weights import AnalogWeights, OnTiles, check_digital

MOST_SHARDS = 1 << 16


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
        more: what else the method measured, such as ``clean_loss``, ``noise`` (root mean square of the error / column's
            maximum) and ``gradient_sharpness``.
    """

    step: int
    level: float
    loss: float
    update_norm: float
    skipped: bool
    clipped: int
    more: dict[str, float]


class Method(ABC):
    """A way to make one update: ``loss = method.step(closure, model, optimizer)`` in place of forward, backward, step.

    Args:
        strength: of the perturbation, a number or a schedule.
        norms: which passes move the running statistics of norms (:data:`driftproof.training.norms.NormPolicy`).
        clip: weight clipping after each update.
        on_tiles: which weights are analog, and how they are mapped.
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

    def __init__(
        self,
        *,
        strength: float | Schedule | str = 1.0,
        norms: NormPolicy,
        clip: ClipWeights | None = None,
        on_tiles: OnTiles | None = None,
        seed: int = 0,
        diagnose_every: int = 0,
    ) -> None:
        check_policy(norms)
        self.strength, self.norms, self.clip = as_schedule(strength), norms, clip
        self.on_tiles, self.seed, self.diagnose_every = on_tiles or OnTiles(), seed, diagnose_every
        self.weights: AnalogWeights | None = None
        self.updates = 0
        self.total: int | None = None
        self.last: Diagnostics | None = None
        self._norms: list[nn.Module] = []
        if self.noisy and self.strength.largest == 0:
            raise DriftproofError(
                f"method {self.name}: its strength is zero throughout, so it would perturb nothing; use Plain()"
            )

    # --- one update ---

    @abstractmethod
    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """Add the gradient of one micro-batch to ``.grad``; return the loss where it was taken."""

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
                micro-batch has a perturbation of its own, and the update is their mean.
            model: the network that the closure calls, in its wrappers.
            optimizer: any; its gradients are set to zero here.
            scaler: of the loss in float16.
            clip_norm: largest norm of the gradient.

        Raises:
            DriftproofError: a loss that is not finite (nothing is updated); a network on tiles; another network than
                before; nothing perturbed.
        """
        closures = list(closure) if isinstance(closure, Sequence) else [closure]
        weights = self._prepared(model, closures[0])
        optimizer.zero_grad()
        level = self.strength.level(self.updates, self.total, self.seed)
        diagnose = bool(self.diagnose_every) and self.updates % self.diagnose_every == 0
        rank, _ = processes()
        shards = _shards(closures, self.closures_per_update)
        total = torch.zeros((), device=next(iter(weights.parameters.values())).device)
        found: dict[str, Tensor] = {}
        for index, shard in enumerate(shards):
            passes = Passes(
                model=model,
                weights=weights,
                norms=self._norms,
                policy=self.norms,
                scaler=scaler,
                share=1 / len(shards),
                last=index == len(shards) - 1,
                level=level,
                key=Key(self.seed, self.updates * MOST_SHARDS + rank * len(shards) + index),
                step=self.updates,
                diagnose=diagnose and index == 0,
            )
            total += self.gradient(passes, shard).float() / len(shards)
            found |= passes.found
        norm, skipped = self._update(optimizer, scaler, clip_norm)
        clipped = self.clip.apply(weights) if self.clip is not None else 0
        self.last = Diagnostics(
            step=self.updates,
            level=level,
            loss=float(total),
            update_norm=norm,
            skipped=skipped,
            clipped=clipped,
            more={name: float(value) for name, value in found.items()},
        )
        self.strength.observe(norm)
        self.updates += 1
        return total

    def _update(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None, clip_norm: float | None
    ) -> tuple[float, bool]:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not parameters:
            raise DriftproofError("no parameter of the optimizer has a gradient: does the closure use the network?")
        if scaler is not None:
            scaler.unscale_(optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, float("inf") if clip_norm is None else clip_norm))
        if scaler is None:
            if norm != norm or norm == float("inf"):
                raise DriftproofError(
                    f"the gradient is {norm}: nothing was updated. Lower the learning rate or the strength of the "
                    "perturbation, or ramp it"
                )
            optimizer.step()
            return norm, False
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        return norm, bool(scaler.get_scale() < before)

    # --- before the first update ---

    def begin(self, total: int) -> None:
        """Say how many updates the run has, for schedules that span it.

        Raises:
            DriftproofError: a schedule that is longer than the run.
        """
        if self.strength.steps is not None and self.strength.steps > total:
            raise DriftproofError(
                f"method {self.name}: its strength {self.strength} spans {self.strength.steps} updates, the run has "
                f"{total}: it would never get to its end"
            )
        self.total = total

    def prepare(self, model: nn.Module, example: Inputs) -> AnalogWeights:
        """Find the analog weights of a network by watching it on example inputs.

        The first :meth:`step` does it with the closure's inputs.
        """
        self.weights = AnalogWeights.of(model, example, self.on_tiles)
        self._norms = norms_of(self.weights.network)
        return self.weights

    def _prepared(self, model: nn.Module, closure: Closure) -> AnalogWeights:
        if self.weights is None:
            check_digital(unwrap(model))
            return self.prepare(model, inputs_of_first_pass(model, closure))
        if self.weights.network is not unwrap(model):
            raise DriftproofError(
                f"method {self.name} was prepared for another network; make a new one, or call prepare(model, example)"
            )
        return self.weights

    # --- a run that goes on ---

    def state_dict(self) -> dict[str, Any]:
        """Return what the method has become: for a run that goes on later as if it had not stopped."""
        return {"updates": self.updates, "strength": self.strength.state_dict()} | self._own_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a method of the same settings was."""
        self.updates = state["updates"]
        self.strength.load_state_dict(state["strength"])
        self._load_own_state(state)

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: dict[str, Any]) -> None:  # noqa: B027  # most have none
        """Take over what a method has beyond its updates and its strength."""

    def describe(self) -> dict[str, str]:
        """Return the settings as text, for a log."""
        return {
            "method": self.name,
            "strength": str(self.strength),
            "norms": self.norms,
            "weight clipping": "none" if self.clip is None else str(self.clip),
            "seed": str(self.seed),
        }


def _shards(closures: list[Closure], size: int) -> list[list[Closure]]:
    if size == 1 or len(closures) == 1:
        return [[closure] for closure in closures]
    if len(closures) % size:
        raise DriftproofError(f"{len(closures)} closures came; this method wants one, or a multiple of {size}")
    return [closures[start : start + size] for start in range(0, len(closures), size)]


class _Seen(BaseException):
    """Ends a forward pass as soon as its inputs are known."""


def inputs_of_first_pass(model: nn.Module, closure: Closure) -> Inputs:
    """Return the inputs that a closure calls a network with, as positional or named inputs; the pass is not run."""
    caught: list[Inputs] = []

    def stop(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if args and named:
            raise DriftproofError(
                "the closure calls the network with inputs by place and by name; call method.prepare(model, example) "
                "before the first step, with inputs of one kind"
            )
        caught.append(dict(named) if named else args[0] if len(args) == 1 else tuple(args))
        raise _Seen

    kinds = {id(model): model, id(unwrap(model)): unwrap(model)}
    handles = [module.register_forward_pre_hook(stop, with_kwargs=True, prepend=True) for module in kinds.values()]
    try:
        with random_state_kept():
            closure()
    except _Seen:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not caught:
        raise DriftproofError(
            "the closure did not call the network that step() was given; give step() the network that it calls"
        )
    return caught[0]


def processes() -> tuple[int, int]:
    """Return this process's rank and how many there are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
