"""Hopfield networks: layers that pull at each other until they rest, dense or convolutional, of any depth."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError, check_choice, warn, whole_number
from driftproof._hopfield.edges import Edge, Feedback, ForwardProduct, Precision
from driftproof._hopfield.energy import energy_of
from driftproof._hopfield.measures import Measures, restless_text, settled, symmetry_error
from driftproof._hopfield.recording import Recording
from driftproof._hopfield.relaxation import ORDER, Order, Relaxed, Schedule, States, relax
from driftproof._hopfield.shapes import as_images, as_vectors, check_inputs, check_layers, zeros
from driftproof._hopfield.trainable import check_training
from driftproof._keywords import check_keywords
from driftproof._own_measures import WeightOf

ITERATIONS, BACKPROPAGATED = 60, 15
"""Iterations of a relaxation, and those at its end that backpropagation goes through, as in the study."""


class HopfieldNetwork(nn.Module):
    """A layered Hopfield network with the energy

    E = Σ ½ ‖s_l‖² − Σ ⟨s_l, P(W_l ⋆ s_{l−1} + b_l)⟩

    of hidden layers s_l in [0, 1] and an output layer o that is not bounded (Scellier, Ernoult, Kendall & Kumar 2023).
    :meth:`forward` relaxes from zero and returns the output, so that the network can be evaluated as any other.

    Under ``torch.enable_grad``, the last iterations of the relaxation can be differentiated (truncated backpropagation
    through time). All iterations are made then, whatever the tolerance.

    Args:
        edges: Edges from the input to the output.
        image: Channels and size of the input images, or None for vectors. Smaller images are padded with zeros.
        iterations: Iterations of a relaxation; with a tolerance the largest number (default: 60).
        tolerance: Residual, the largest change of a unit in an iteration, below which a sample rests (default: none).
        order: ``asynchronous`` or ``synchronous`` (default: ``asynchronous``).
        cached: Whether forward products are kept until their layer changes. The states are the same, bit for bit
            (default: True).
        backpropagated: Iterations through which gradients go (default: 15).

    Raises:
        DriftproofError: No edge; less than one iteration; another impossible setting.

    Attributes:
        edges: The edges.
        schedule: Length and order of the relaxation.
        measures: What the relaxations since the last :meth:`clear_diagnostics` were like.

    >>> from driftproof._hopfield.named import hopfield_dense
    >>> network = hopfield_dense([6, 8, 3])
    >>> network(torch.rand(4, 6)).shape
    torch.Size([4, 3])
    """

    usual_loss = "squared-error"
    """Loss of a training, with any method, unless another one is asked for."""

    def __init__(
        self,
        edges: Sequence[Edge],
        *,
        image: tuple[int, int] | None = None,
        iterations: int = ITERATIONS,
        tolerance: float | None = None,
        order: Order = ORDER,
        cached: bool = True,
        backpropagated: int = BACKPROPAGATED,
    ) -> None:
        super().__init__()
        if not edges:
            raise DriftproofError("a Hopfield network needs at least one edge, from the input to the output")
        self.edges = nn.ModuleList(edges)
        self.image, self.cached = image, cached
        self.backpropagated = whole_number("backpropagated", backpropagated)
        if self.backpropagated < 1:
            raise DriftproofError(
                f"backpropagated {backpropagated}: wanted at least one iteration that gradients go through"
            )
        self.schedule = Schedule(iterations=iterations, tolerance=tolerance, order=order)
        self.measures = Measures()
        self._recording: Recording | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of each sample at rest, [N, classes].

        Args:
            inputs: Vectors [N, in], or images [N, channels, size, size].

        Raises:
            DriftproofError: Inputs of another shape or type; a relaxation whose residual grows.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            x = self.placed(inputs)
            if self._recording is not None:
                return self._recording.free_phase(self, x)
            states = self.start(x)
            if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
                return self._differentiable(states)
            relaxed = self.relaxed(states)
        return relaxed.states.output

    def relaxed(self, states: States, schedule: Schedule | None = None) -> Relaxed:
        """Relax freely from some states.

        Args:
            states: States to start from. They are moved.
            schedule: Length and order (default: those of the network).
        """
        chosen = schedule or self.schedule
        with torch.no_grad():
            relaxed = settled(relax(states, chosen), chosen)
        self._note(relaxed, chosen)
        return relaxed

    def _note(self, relaxed: Relaxed, schedule: Schedule) -> None:
        """Take note of a relaxation, and say once if it does not settle."""
        self.measures.note(relaxed)
        if not self.measures.told and (text := restless_text(relaxed, schedule)):
            self.measures.told = True
            warn(text)

    def _differentiable(self, states: States) -> Tensor:
        """Relax with a graph of the last iterations."""
        before = self.schedule.iterations - self.backpropagated
        if before > 0:
            with torch.no_grad():
                states = relax(states, self._shorter(before)).states
        # products of the layers before were made without a graph
        states = States(self._edges, states.layers[0], states.layers[1:], cached=self.cached)
        end = self._shorter(min(self.backpropagated, self.schedule.iterations))
        last = settled(relax(states, end), self.schedule)
        self._note(replace(last, iterations=last.iterations + max(0, before)), end)
        return last.states.output

    def _shorter(self, iterations: int) -> Schedule:
        return Schedule(iterations=iterations, order=self.schedule.order)

    def placed(self, inputs: Tensor) -> Tensor:
        """Return inputs in the shape that the first edge takes: images padded, or vectors.

        Raises:
            DriftproofError: Another shape or type, no sample, or numbers that are not finite.
        """
        check_inputs(inputs, self.edge(0).weight.dtype)
        if self.image is None:
            return as_vectors(inputs, self.edge(0).weight.shape[1])
        return as_images(inputs, *self.image)

    def start(self, x: Tensor, layers: Sequence[Tensor] | None = None, first: ForwardProduct | None = None) -> States:
        """Return the states of a batch before its relaxation: all zero, or given ones.

        Args:
            x: Inputs as :meth:`placed` returns them.
            layers: States of the layers behind the edges, [N, …] (default: zeros).
            first: Forward product of the inputs, if it is known.

        Raises:
            DriftproofError: Layers of other shapes; hidden units outside [0, 1].
        """
        if layers is not None:
            check_layers(layers, [(len(x), *shape) for shape in self.shapes])
        given = layers if layers is not None else [zeros(x, shape) for shape in self.shapes]
        return States(self._edges, x, given, cached=self.cached, first=first, at_zero=layers is None)

    @property
    def _edges(self) -> list[Edge]:
        return list(self.edges)  # type: ignore[arg-type]

    def edge(self, number: int) -> Edge:
        """Return an edge, from 0 at the input."""
        return self._edges[number]

    @property
    def precision(self) -> Precision:
        """Type of the products' factors; see :meth:`set_precision`."""
        return self._edges[0].precision

    @property
    def feedback(self) -> Feedback:
        """By which weights layers are driven from above; see :meth:`set_feedback`."""
        return self._edges[-1].feedback

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (in,), or (channels, size, size)."""
        if self.image is None:
            return (self.edge(0).weight.shape[1],)
        channels, size = self.image
        return (channels, size, size)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each layer behind an edge, without the samples."""
        shapes: list[tuple[int, ...]] = []
        size = 0 if self.image is None else self.image[1]
        for edge in self._edges:
            outputs = edge.weight.shape[0]
            if edge.weight.dim() == 4:
                size //= 2
                shapes.append((outputs, size, size))
            else:
                shapes.append((outputs,))
        return shapes

    def with_relaxation(self, *, cached: bool | None = None, **changes: Any) -> HopfieldNetwork:
        """Return a network of the same weights whose relaxation is another one.

        Args:
            cached: Whether forward products are kept until their layer changes (default: as here).
            changes: ``iterations``, ``tolerance`` or ``order``.

        >>> from driftproof._hopfield.named import hopfield_dense
        >>> hopfield_dense([6, 8, 3]).with_relaxation(iterations=200, tolerance=1e-4).schedule.iterations
        200
        """
        check_keywords("with_relaxation", changes, [field.name for field in fields(Schedule)])
        other = copy.copy(self)
        # the parameters are shared; feedback and precision of the edges are not
        other._modules = dict(self._modules) | {"edges": nn.ModuleList([edge.sharing() for edge in self._edges])}
        other.schedule, other.measures = replace(self.schedule, **changes), Measures()
        if cached is not None:
            other.cached = cached
        return other

    def set_feedback(self, feedback: Feedback) -> HopfieldNetwork:
        """Choose by which weights layers are driven from above; return the network.

        Args:
            feedback: ``same``: the array of the forward product, read transposed. ``second``: an array of its own,
                whose noise is another. ``digital``: the exact weights.

        >>> from driftproof._hopfield.named import hopfield_dense
        >>> sorted(dict(hopfield_dense([6, 8, 3]).set_feedback("second").named_parameters()))
        ['edges.0.bias', 'edges.0.weight', 'edges.1.bias', 'edges.1.weight', 'edges.1.weight_back']
        """
        check_choice("feedback", feedback, get_args(Feedback))
        if len(self.edges) == 1 and feedback != "same":
            raise DriftproofError(f"feedback {feedback!r}: a network of one edge feeds nothing back")
        for edge in self._edges[1:]:  # nothing is fed back to the inputs
            edge.set_feedback(feedback)
        return self

    def set_precision(self, precision: Precision) -> HopfieldNetwork:
        """Choose the type of the products' factors, for digital inference; return the network.

        States and sums are float32. On chips use ``float32``: a weight that is rounded in every product is none that
        an array holds, and would stay digital.
        """
        check_choice("precision", precision, get_args(Precision))
        for edge in self._edges:
            edge.precision = precision
        return self

    @contextmanager
    def recording(self, recording: Recording) -> Iterator[None]:
        """Let the next call of the network be the free phase of an energy-based method."""
        if self._recording is not None:
            raise DriftproofError("the network is in the free phase of another method already")
        self._recording = recording
        try:
            yield
        finally:
            self._recording = None

    @torch.no_grad()
    def energy(self, inputs: Tensor, layers: Sequence[Tensor]) -> Tensor:
        """Return the energy of some states, [N].

        Args:
            inputs: Inputs [N, …].
            layers: States of the layers behind the edges, [N, …].

        Raises:
            DriftproofError: Inputs or layers of other shapes; hidden units outside [0, 1].
        """
        return energy_of(self.start(self.placed(inputs), layers))

    def clear_diagnostics(self) -> None:
        """Forget what past relaxations were like."""
        self.measures.clear()

    def diagnostics(self, weight_of: WeightOf = lambda _: None) -> dict[str, float]:
        """Return what the relaxations since :meth:`clear_diagnostics` were like: name → number.

        ``residual`` is the largest of all samples, ``iterations`` and ``energy`` are means over samples, and
        ``symmetry_error`` is ‖W_forward − W_back‖ / ‖W_forward‖ over all edges with feedback.

        Args:
            weight_of: Effective weights of a chip (default: those of the network).
        """
        means = self.measures.means()
        if not means:
            return {}
        return means | {"symmetry_error": symmetry_error(self._edges, weight_of)}

    def digital_weights(self) -> list[str]:
        """Return the names of the weights of a digital feedback."""
        edges = enumerate(self._edges[1:], start=1)
        return [f"edges.{number}.{edge.back_name}" for number, edge in edges if edge.feedback == "digital"]

    def check_training(self, precision: str | None = None) -> None:
        """Raise DriftproofError if the network, as it is set, can only be evaluated.

        Args:
            precision: Precision of the training (default: it is not known).
        """
        check_training(self, precision)

    def extra_repr(self) -> str:
        """Return the settings, for ``print`` and for a network's hash."""
        s, through = self.schedule, self.backpropagated
        return f"iterations={s.iterations}, tolerance={s.tolerance}, order={s.order}, backpropagated={through}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._recording = None
