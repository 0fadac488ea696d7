"""The rule of all energy-based methods: compare the states of two phases, with no backward pass.

A gradient is [∂E(state at n2) − ∂E(state at n1)] / (n2 − n1), where n is the strength with which the output is pulled
to its target, and n = 0 is the free phase (Scellier, Ernoult, Kendall & Kumar 2023). Energy derivatives are local: each
weight needs the states of its two layers only.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError, whole_number
from driftproof._hopfield import HopfieldNetwork, Pull, Recording, Schedule, States, relax
from driftproof._hopfield.energy import contrast
from driftproof._hopfield.measures import settled
from driftproof._inputs import Inputs
from driftproof._mapping import unwrap
from driftproof.energy._targets import targets_of
from driftproof.training._methods.perturbation import DrawsNoise, measure_noise_periodically
from driftproof.training._noise import Key, Noise, NoiseLike, as_noise
from driftproof.training._parallel import processes
from driftproof.training._passes import Closures, Passes
from driftproof.training._schedules import STRENGTH, StrengthLike
from driftproof.training._settings import Settings
from driftproof.training._weights import AnalogWeights

BETA, PERTURBED_ITERATIONS = 0.25, 15
"""Strength of the pull, and iterations of a perturbed phase, as in the study."""
STRONGEST, WEAKEST = 100.0, 100.0
"""Largest β of a nudge, at which the output is all but held, and smallest β, in units of the states' rounding."""


class NoNoise(Noise):
    """The noise of exact weights: none is drawn."""

    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Return no weights, because none is perturbed."""
        return {}

    def __str__(self) -> str:
        return "none"


class EnergyBased(DrawsNoise):
    """An energy-based method: a subclass says at which two strengths the phases are, and how the output is pulled.

    The closure's loss has to be the squared error ½ ‖o − y‖², averaged over the batch (``loss="squared-error"``). The
    method takes the targets y from its gradient.

    Args:
        beta: Strength β of the pull, above 0 (default: 0.25).
        iterations: Iterations of the free phase, with the network's tolerance and order (default: the network's).
        perturbed_iterations: Iterations of a perturbed phase, which starts from the free state (default: 15).
        start: State that the free phase starts from: ``previous``, that of the batch before, or ``zero`` (default:
            ``previous``).
        noise: Noise of a device on the weights, the same in all phases of an update (default: none). The gradient is
            applied to the clean weights, as in :class:`driftproof.training.RWP`.
        strength: Factor on the noise, a number or a schedule (default: 1).
        options: Further options of :class:`driftproof.training.Method`, except ``norms``.

    Raises:
        DriftproofError: β is not above 0, or too large: the relaxation has no minimum (β ≥ 1 with n = −β), the output
            is held beyond its target (β > 1), or all but held (β > 100). Less than one iteration. At the first update
            also a β that is lost in the rounding of the states.
    """

    described: ClassVar[tuple[str, ...]] = ("beta", "iterations", "perturbed_iterations", "start")
    remembered: ClassVar[tuple[str, ...]] = ("_layers",)
    fixed = ("norms",)
    phases: ClassVar[tuple[int, int]]
    """The strengths n1 < n2 of the two phases, in units of β."""
    holds_output: ClassVar[bool]
    """Whether the output is held between its free state and the target, or nudged by a force."""

    def __init__(
        self,
        *,
        beta: float = BETA,
        iterations: int | None = None,
        perturbed_iterations: int = PERTURBED_ITERATIONS,
        start: str = "previous",
        noise: NoiseLike | None = None,
        strength: StrengthLike = STRENGTH,
        **options: Any,
    ) -> None:
        self.noisy = noise is not None
        super().__init__(strength=strength if self.noisy else 0.0, norms="frozen", **options)
        try:
            self.beta = float(beta)
        except (TypeError, ValueError):
            raise DriftproofError(f"method {self.name}: beta {beta!r}, wanted a number above 0") from None
        self.iterations = None if iterations is None else whole_number("iterations", iterations)
        self.perturbed_iterations = whole_number("perturbed_iterations", perturbed_iterations)
        self.start = start
        self.noise = NoNoise() if noise is None else as_noise(noise)
        self._layers: list[Tensor] | None = None
        if noise is None and strength != STRENGTH:
            raise DriftproofError(
                f"method {self.name}: a strength, or a schedule of it, came without a noise, whose factor it is"
            )
        if not (self.beta > 0 and math.isfinite(self.beta)):
            raise DriftproofError(
                f"method {self.name}: beta {beta!r}, wanted a number above 0: with 0 both phases are the same"
            )
        if self.beta > (1.0 if self.holds_output else STRONGEST):
            where = "beyond its target" if self.holds_output else "all but at its target, which is the method cl"
            raise DriftproofError(f"method {self.name}: beta {beta!r} holds the output {where}; wanted a smaller one")
        if (self.iterations is not None and self.iterations < 1) or self.perturbed_iterations < 1:
            raise DriftproofError(
                f"method {self.name}: wanted at least one iteration of each phase, got {iterations} of the free phase "
                f"(None for the network's) and {perturbed_iterations} of a perturbed one"
            )
        if self.phases[0] < 0 and not self.holds_output and self.beta >= 1:
            raise DriftproofError(
                f"method {self.name}: beta {beta!r}; at n = −β the energy has a minimum for β < 1 only"
            )
        if start not in ("previous", "zero"):
            raise DriftproofError(f"method {self.name}: start {start!r}; wanted previous or zero")

    def noises(self) -> list[Any]:
        """Return the noise, if there is one."""
        return [self.noise] if self.noisy else []

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make the free phase and the perturbed ones, and add the difference of the energy's gradients."""
        network = self._network(passes)
        values = self.drawn(passes) if self.noisy and passes.strength else {}
        if values:
            measure_noise_periodically(passes, values)
        with passes.holding(values) if values else nullcontext():
            return self._compare(network, passes, closures)

    def _compare(self, network: HopfieldNetwork, passes: Passes, closures: Closures) -> Tensor:
        free_schedule = network.schedule
        if self.iterations is not None:
            free_schedule = replace(free_schedule, iterations=self.iterations)
        recording = Recording(free_schedule, self._layers if self.start == "previous" else None)
        with network.recording(recording):
            loss, targets = targets_of(closures[0], recording, self.name)
        assert recording.relaxed is not None
        free = recording.relaxed.states
        passes.measured["residual"] = recording.relaxed.residual.max()
        with torch.no_grad():
            low, high = self._phases(network, free, targets)
            width = self.beta * (self.phases[1] - self.phases[0])
            self._add(network, contrast(low, high, width), passes.share)
        if self.start == "previous":
            self._layers = free.layers[1:]
        return loss

    def _phases(self, network: HopfieldNetwork, free: States, targets: Tensor) -> tuple[States, States]:
        """Return the states at n1 and at n2; the perturbed ones relax from the free state, as one batch."""
        number, perturbed = len(targets), [n for n in self.phases if n]
        parts = len(perturbed)
        strengths = self.beta * torch.tensor(perturbed, dtype=targets.dtype, device=targets.device)
        n = strengths.repeat_interleave(number).unsqueeze(1)
        start = network.start(
            _repeated(free.layers[0], parts),
            [_repeated(layer, parts) for layer in free.layers[1:]],
            free.product(0).repeated(parts),
        )
        y = _repeated(targets, parts)
        if self.holds_output:
            held = start.layers[-1] = (1 - n) * start.output + n * y
            pull = Pull(held=held)
        else:
            pull = Pull(target=y, nudging=n)
        schedule = Schedule(iterations=self.perturbed_iterations, order=network.schedule.order)
        smaller = "" if "beta" in self.fixed else f"a smaller beta than {self.beta:g}, "
        advice = f"{smaller}smaller gains, or a lower learning rate"
        ended = settled(relax(start, schedule, pull), schedule, advice).states
        states = {0: free} | {
            phase: _part(ended, slice(place * number, (place + 1) * number)) for place, phase in enumerate(perturbed)
        }
        return states[self.phases[0]], states[self.phases[1]]

    def _add(self, network: HopfieldNetwork, gradients: dict[int, tuple[Tensor, Tensor]], share: float) -> None:
        """Add gradients to ``.grad`` of the parameters that take one."""
        for number, parts in gradients.items():
            edge = network.edge(number)
            for parameter, gradient in zip((edge.weight, edge.bias), parts, strict=True):
                if not parameter.requires_grad:
                    continue
                scaled = gradient * share if share != 1 else gradient
                parameter.grad = scaled if parameter.grad is None else parameter.grad + scaled

    def prepare(self, model: nn.Module, example: Inputs) -> AnalogWeights:
        """Check that the network can be trained, and find its analog weights."""
        self._checked(model)
        return super().prepare(model, example)

    def _network(self, passes: Passes) -> HopfieldNetwork:
        if processes()[1] > 1 or passes.scaler is not None:
            raise DriftproofError(f"method {self.name} makes its updates in one process and in float32")
        return self._checked(passes.model)

    def _checked(self, model: nn.Module) -> HopfieldNetwork:
        network = unwrap(model)
        if not isinstance(network, HopfieldNetwork):
            raise DriftproofError(
                f"method {self.name} trains Hopfield networks, such as driftproof.energy.hopfield_dense(); a "
                f"{type(network).__name__} came"
            )
        network.check_training()
        rounding = torch.finfo(network.edge(0).weight.dtype).eps
        if self.beta < WEAKEST * rounding:
            raise DriftproofError(
                f"method {self.name}: beta {self.beta:g} is lost in the rounding of the states; wanted at least "
                f"{WEAKEST * rounding:.1g}"
            )
        return network

    def check_settings(self, settings: Settings) -> None:
        """Raise DriftproofError for another loss than the squared error."""
        if isinstance(settings.loss, str) and settings.loss != "squared-error":
            raise DriftproofError(
                f"method {self.name} minimises the squared error; loss {settings.loss!r} came: use "
                "loss='squared-error', or leave it out"
            )
        if settings.distillation is not None:
            raise DriftproofError(f"method {self.name} minimises the squared error alone, without distillation")


def _repeated(part: Tensor, times: int) -> Tensor:
    return part if times == 1 else torch.cat([part] * times)


def _part(states: States, samples: slice) -> States:
    """Return the states of some samples."""
    layers = [layer[samples] for layer in states.layers]
    return States(states.edges, layers[0], layers[1:], cached=states.cached, first=states.product(0).part(samples))
