"""Recurrent layers as the products that they consist of: torch's kernels hide them.

One code serves padded and packed sequences: ``sizes[t]`` sequences are alive at step t, the longest first. The formulas
are those in torch's documentation of ``LSTM``, ``GRU`` and ``RNN``, with the gates in torch's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import batched
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._errors import DriftproofError

State = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, State], State]


def _lstm_step(x: Tensor, h: Tensor, state: State) -> State:
    i, f, g, o = (x + h).chunk(4, dim=-1)
    cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _gru_step(x: Tensor, h: Tensor, state: State) -> State:
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, dim=-1), h.chunk(3, dim=-1)
    z = (xz + hz).sigmoid()
    new = (xn + (xr + hr).sigmoid() * hn).tanh()
    return ((1 - z) * new + z * state[0],)


def _rnn_step(activation: Callable[[Tensor], Tensor]) -> Step:
    return lambda x, h, _: (activation(x + h),)


def _cell(step: Step) -> Callable[..., Any]:
    def run(
        input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
    ) -> Any:
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        new = step(F.linear(input, w_ih, b_ih), F.linear(state[0], w_hh, b_hh), state)
        return new if len(new) > 1 else new[0]

    return run


def _layers(step: Step) -> Callable[..., Any]:
    """Return a function with the arguments of torch's kernels.

    They are (x, sizes, hx, params, *settings) for packed sequences, (x, hx, params, *settings, batch_first) for padded
    ones.
    """

    def run(first: Tensor, second: Any, third: Any, *rest: Any) -> Any:
        if isinstance(second, Tensor) and isinstance(third, Tensor | tuple) and isinstance(rest[0], list | tuple):
            return _run(step, first, second.tolist(), third, *rest)
        *settings, batch_first = rest
        x = first.transpose(0, 1) if batch_first else first
        out, *states = _run(step, x, [x.shape[1]] * len(x), second, third, *settings)
        return (out.transpose(0, 1) if batch_first else out, *states)

    return run


def _run(
    step: Step, x: Tensor, sizes: Sequence[int], hx: Any, params: Sequence[Tensor], *settings: Any
) -> tuple[Tensor, ...]:
    """Run all layers on [steps, N, in], or on [Σ sizes, in] of packed sequences; the output has the same order."""
    has_biases, layers, dropout, train, bidirectional = settings
    if train and dropout:
        raise DriftproofError("a recurrent layer with dropout in training mode cannot be on tiles; call model.eval()")
    start = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    directions = 2 if bidirectional else 1
    weights = list(batched(params, len(params) // (layers * directions)))
    finals: list[State] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            state = tuple(part[at] for part in start)
            out, final = _direction(step, x, sizes, state, weights[at], has_biases, direction == 1)
            outputs.append(out)
            finals.append(final)
        x = torch.cat(outputs, dim=-1)
    return (x, *(torch.stack(parts) for parts in zip(*finals, strict=True)))


def _direction(
    step: Step, x: Tensor, sizes: Sequence[int], state: State, weights: State, has_biases: bool, backward: bool
) -> tuple[Tensor, State]:
    w_ih, w_hh = weights[:2]
    b_ih, b_hh = weights[2:4] if has_biases else (None, None)
    projection = weights[-1] if len(weights) == (5 if has_biases else 3) else None
    if x.dim() == 3:
        parts = list(F.linear(x, w_ih, b_ih))
    else:
        parts = [F.linear(part, w_ih, b_ih) for part in torch.split(x, list(sizes))]
    outputs: list[Tensor] = [x] * len(parts)
    for t in reversed(range(len(parts))) if backward else range(len(parts)):
        alive = tuple(part[: sizes[t]] for part in state)
        new = step(parts[t], F.linear(alive[0], w_hh, b_hh), alive)
        if projection is not None:
            new = (F.linear(new[0], projection), *new[1:])
        # sequences that have ended, or (backward) have not begun, keep their state
        state = tuple(torch.cat([part, old[sizes[t] :]]) for part, old in zip(new, state, strict=True))
        outputs[t] = new[0]
    return torch.stack(outputs) if x.dim() == 3 else torch.cat(outputs), state


RECURRENT: dict[Any, Callable[..., Any]] = {
    torch.lstm: _layers(_lstm_step),
    torch.gru: _layers(_gru_step),
    torch.rnn_tanh: _layers(_rnn_step(torch.tanh)),
    torch.rnn_relu: _layers(_rnn_step(torch.relu)),
    torch.lstm_cell: _cell(_lstm_step),
    torch.gru_cell: _cell(_gru_step),
    torch.rnn_tanh_cell: _cell(_rnn_step(torch.tanh)),
    torch.rnn_relu_cell: _cell(_rnn_step(torch.relu)),
}
