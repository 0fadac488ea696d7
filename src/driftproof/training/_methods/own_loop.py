"""A method's gradient without a step, for loops that step by themselves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError
from driftproof.training._closures import inputs_copied, inputs_of_call, shards_of
from driftproof.training._methods.optimizer_steps import OptimizerSteps
from driftproof.training._norms import statistics_kept
from driftproof.training._parallel import check_exchange, check_whole, group_of, same_in_all
from driftproof.training._passes import Closure, Closures
from driftproof.training._update import Update, gradient_norm

if TYPE_CHECKING:
    from driftproof.training._methods.method import Method

COMPARED_UPDATES = 2
"""Updates at whose beginning processes compare their weights: before the first step, and after it."""


class OwnLoop:
    """The present update of a method in a loop that steps by itself.

    Args:
        method: The method.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._update: Update | None = None
        self._steps: OptimizerSteps | None = None
        """The optimizer's steps since the present update was counted; None before."""
        self._done = 0
        """Number of micro-batches of the present update that were made."""
        self._parts: int | None = None
        """Number of all of them; None if it is not known."""
        self._compared: tuple[object, int] = (None, 0)
        self._measured: dict[str, list[Tensor]] = defaultdict(list)
        self._losses: list[Tensor] = []

    def __reduce__(self) -> tuple[type[OwnLoop], tuple[Method]]:
        """Copies of a method begin with a new update."""
        return OwnLoop, (self._method,)

    def gradient(
        self,
        closure: Closure | Closures,
        model: nn.Module,
        part: int,
        parts: int | None,
        scaler: torch.amp.GradScaler | None,
    ) -> Tensor:
        """Add the gradient of one micro-batch to ``.grad``. See :meth:`Method.gradient`."""
        method = self._method
        shards = shards_of(closure, method.closures_per_update)
        if len(shards) != 1:
            raise DriftproofError(f"{len(shards)} micro-batches came; give each to a call of its own, with part=")
        check_exchange(model, "the gradient")
        self._check_clip()
        method.prepared(model, shards[0][0])
        update = self._begin(model, part, parts, scaler)
        kept = statistics_kept(method.norms_with_statistics, on_failure_only=True)
        with inputs_copied(model), kept, ExitStack() as undo:
            undo.callback(method.load_state_dict, method.state_dict())
            loss, measured = method.gradients_of(shards, update, self._done, parts)
            self._end(update, loss, measured, may_overflow=update.scaler is not None)
            undo.pop_all()
        return loss

    @contextmanager
    def perturbed(self, model: nn.Module, part: int, parts: int | None) -> Iterator[None]:
        """Perturb the weights inside. See :meth:`Method.perturbed`."""
        method, begun = self._method, list[Update]()
        check_whole(model)
        self._check_clip()
        with ExitStack() as inside:

            def enter() -> None:
                update = self._begin(model, part, parts, None)
                passes = method.passes_of(update, self._done, parts)
                inside.enter_context(passes.only_pass(method.weights_of_one_pass(passes)))
                begun.append(update)

            def first(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
                handle.remove()
                method.prepare(model, inputs_of_call(args, named))
                enter()

            if method.weights is None:
                handle = model.register_forward_pre_hook(first, with_kwargs=True, prepend=True)
                inside.callback(handle.remove)
            else:
                method.prepared(model, lambda: torch.zeros(()))
                enter()
            yield
            if not begun:
                raise DriftproofError(
                    "the block did not call the network that perturbed() was given, so its analog weights are not "
                    "known; call method.prepare(model, example) first"
                )
        self._end(begun[0], torch.tensor(math.nan), {}, may_overflow=True)

    def _check_clip(self) -> None:
        method = self._method
        if method.clip is not None:
            raise DriftproofError(
                f"method {method.name}: its weight clipping acts after the optimizer's step, which is not made here; "
                "use step(), or a method without clip="
            )

    def _begin(self, model: nn.Module, part: int, parts: int | None, scaler: torch.amp.GradScaler | None) -> Update:
        """Return the present update, which begins with its first micro-batch."""
        method, scaler = self._method, scaler if scaler is not None and scaler.is_enabled() else None
        if scaler is not None and method.changes_gradients:
            raise DriftproofError(
                f"method {method.name} changes the unscaled gradient of the whole update: with a gradient scaler "
                "use step()"
            )
        goes_on = self._goes_on() if parts is None else part > 0
        if parts is None and part:
            raise DriftproofError(f"part {part} came without parts=, the number of micro-batches of an update")
        if parts is not None:
            self._check_part(part, parts)
        elif goes_on and method.changes_gradients:
            raise DriftproofError(
                f"method {method.name} looks at the gradient of the whole update, and the optimizer has not stepped "
                "since the last micro-batch: give part= and parts=, or use step() with one closure for each micro-batch"
            )
        if not goes_on or self._update is None:
            self._compare_weights(model)
            self._update, self._losses = method.new_update(model, None, scaler), []
            self._done, self._parts, self._steps = 0, parts, None
            self._measured.clear()
        return self._update

    def _check_part(self, part: int, parts: int) -> None:
        if not 0 <= part < parts:
            raise DriftproofError(f"part {part} of {parts}: wanted a number from 0 to {parts - 1}")
        going_on = self._update is not None and self._parts is not None and self._steps is None and self._done > 0
        if part and (not going_on or (self._done, self._parts) != (part, parts)):
            wanted = f"part {self._done} of {self._parts}" if going_on else "part 0"
            raise DriftproofError(f"part {part} of {parts} came; {wanted} was wanted")

    def _goes_on(self) -> bool:
        """Whether the loop accumulates gradients: those of the last call are there, and no optimizer has stepped."""
        update, method = self._update, self._method
        if update is None or self._parts is not None or update.weights is not method.weights:
            return False
        if self._steps is None or self._steps.seen or update.step != method.updates - 1:
            return False
        trained = [p for p in update.weights.network.parameters() if p.grad is not None]
        size = float(gradient_norm(trained)) if trained else 0.0
        return size > 0 and math.isfinite(size)  # a scaler skips a step along gradients that are not finite

    def _compare_weights(self, model: nn.Module) -> None:
        """Raise DriftproofError if processes have other weights, at the beginning of the first updates."""
        weights = self._method.weights
        of, times = self._compared
        times = times if of is weights else 0
        if weights is None or times == COMPARED_UPDATES:
            return
        if not same_in_all(weights.network.parameters(), group_of(model)):
            raise DriftproofError(
                "the weights differ between the processes"
                + (
                    " before the first update; give all of them the same, as DistributedDataParallel does"
                    if not times
                    else " after the first update, so nothing exchanges the gradients: call the network in its "
                    "wrapper, such as DistributedDataParallel, and let all processes start from the same weights again"
                )
            )
        self._compared = (weights, times + 1)

    def _end(self, update: Update, loss: Tensor, measured: dict[str, list[Tensor]], *, may_overflow: bool) -> None:
        """Take note of a micro-batch, and finish the update with its last one.

        Raises:
            DriftproofError: A gradient that is not finite, unless a scaler may skip the step.
        """
        self._losses.append(loss)
        for name, values in measured.items():
            self._measured[name] += values
        self._done += 1
        if self._parts is not None and self._done < self._parts:
            return
        network, again = update.weights.network, self._steps is not None
        trained = [p for p in network.parameters() if p.grad is not None]
        scale = 1.0 if update.scaler is None else update.scaler.get_scale()
        size = float(gradient_norm(trained)) / scale if trained else 0.0
        if math.isfinite(size) and self._method.finish(update):
            size = float(gradient_norm(trained))
        finite = math.isfinite(size)
        if not finite and not may_overflow:
            raise DriftproofError(
                f"the gradient is {size}: do not step. Lower the learning rate or the strength of the perturbation, or "
                "ramp it; in float16 give the gradient scaler"
            )
        loss = torch.stack([one.to(loss.device) for one in self._losses]).sum()
        self._method.note(update, float(loss), size, dict(self._measured), skipped=not finite, again=again)
        if not again:
            self._steps = OptimizerSteps(network.parameters())
