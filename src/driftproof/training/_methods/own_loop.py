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
from driftproof.training._closures import inputs_copied, shards_of
from driftproof.training._norms import statistics_kept
from driftproof.training._parallel import check_exchange
from driftproof.training._passes import Closure, Closures
from driftproof.training._update import Update, gradient_norm

if TYPE_CHECKING:
    from driftproof.training._methods.method import Method


class OwnLoop:
    """The present update of a method in a loop that steps by itself.

    Args:
        method: The method.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._update: Update | None = None
        self._next = (0, 1)
        self._measured: dict[str, list[Tensor]] = defaultdict(list)
        self._losses: list[Tensor] = []

    def gradient(
        self, closure: Closure | Closures, model: nn.Module, part: int, parts: int, scaler: torch.amp.GradScaler | None
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
            loss, measured = method.gradients_of(shards, update, part, parts)
            undo.pop_all()
        self._end(update, (part, parts), loss, measured)
        return loss

    @contextmanager
    def perturbed(self, model: nn.Module, part: int, parts: int) -> Iterator[None]:
        """Perturb the weights inside. See :meth:`Method.perturbed`."""
        method, begun = self._method, list[Update]()
        self._check_clip()
        with ExitStack() as inside:

            def enter() -> None:
                update = self._begin(model, part, parts, None)
                passes = method.passes_of(update, part, parts)
                inside.enter_context(passes.only_pass(method.weights_of_one_pass(passes)))
                begun.append(update)

            def first(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
                handle.remove()
                method.prepare(model, dict(named) if named else args[0] if len(args) == 1 else tuple(args))
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
        self._end(begun[0], (part, parts), torch.tensor(math.nan), {})

    def _check_clip(self) -> None:
        method = self._method
        if method.clip is not None:
            raise DriftproofError(
                f"method {method.name}: its weight clipping acts after the optimizer's step, which is not made here; "
                "use step(), or a method without clip="
            )

    def _begin(self, model: nn.Module, part: int, parts: int, scaler: torch.amp.GradScaler | None) -> Update:
        """Return the present update, which begins with its first part."""
        if not 0 <= part < parts:
            raise DriftproofError(f"part {part} of {parts}: wanted a number from 0 to {parts - 1}")
        if part and (self._update is None or self._next != (part, parts)):
            wanted = "part 0" if self._update is None else f"part {self._next[0]} of {self._next[1]}"
            raise DriftproofError(f"part {part} of {parts} came; {wanted} was wanted")
        scaler = scaler if scaler is not None and scaler.is_enabled() else None
        if scaler is not None and self._method.changes_gradients:
            raise DriftproofError(
                f"method {self._method.name} changes the unscaled gradient of the whole update: with a gradient scaler "
                "use step()"
            )
        if part == 0 or self._update is None:
            self._update, self._losses = self._method.new_update(model, None, scaler), []
            self._measured.clear()
        return self._update

    def _end(self, update: Update, place: tuple[int, int], loss: Tensor, measured: dict[str, list[Tensor]]) -> None:
        """Take note of a part, and finish the update with its last part."""
        part, parts = place
        self._losses.append(loss)
        for name, values in measured.items():
            self._measured[name] += values
        self._next = (part + 1, parts)
        if part + 1 < parts:
            return
        self._update = None
        trained = [p for p in update.weights.network.parameters() if p.grad is not None]
        scale = 1.0 if update.scaler is None else update.scaler.get_scale()
        size = float(gradient_norm(trained)) / scale if trained else 0.0
        if math.isfinite(size) and self._method.finish(update):
            size = float(gradient_norm(trained))
        self._method.note(update, float(torch.stack(self._losses).sum()), size, dict(self._measured))
