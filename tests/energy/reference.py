"""Hopfield networks and the seven algorithms from their definitions, slowly: what the fast ones are compared with.

E = Σ ½ ‖s_l‖² − Σ ⟨s_l, P(W_l ⋆ s_{l−1})⟩ − Σ ⟨b_l, s_l⟩, C = ½ ‖o − y‖². States are lists of layers [N, …], the
input first and the output last. Nothing is shared with the package but the numbers of the weights: convolutions are
sums over shifted images, gradients come from automatic differentiation of the energy, and nothing is kept between
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

type Layers = list[Tensor]
type Output = Callable[[Tensor], Tensor]
"""The output's next state, from its drive."""


@dataclass(frozen=True)
class Net:
    """Weights and biases of the edges, from the input on, and the pooling behind convolutions."""

    weights: list[Tensor]
    biases: list[Tensor]
    pool: str = "max"

    def layers(self) -> int:
        return len(self.weights)


def net_of(network: nn.Module, pool: str = "max") -> Net:
    """The numbers of a network's parameters, in float64."""
    values = {name: value.detach().clone().double() for name, value in network.state_dict().items()}
    number = sum(name.endswith(".bias") for name in values)
    return Net(
        [values[f"edges.{edge}.weight"] for edge in range(number)],
        [values[f"edges.{edge}.bias"] for edge in range(number)],
        pool,
    )


# --- products ---


def patches(images: Tensor) -> Tensor:
    """The 2 × 2 patches of images: [N, C, H, W] → [N, C, H / 2, W / 2, 4]."""
    corners = [images[:, :, dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
    return torch.stack(corners, dim=-1)


def largest_of_patch(images: Tensor) -> Tensor:
    """Which corner of each patch is the largest, the first of equal ones."""
    corners = patches(images.detach())
    best, which = corners[..., 0], torch.zeros_like(corners[..., 0], dtype=torch.int64)
    for corner in (1, 2, 3):
        larger = corners[..., corner] > best
        best, which = torch.where(larger, corners[..., corner], best), torch.where(larger, corner, which)
    return which


def product(net: Net, edge: int, before: Tensor) -> Tensor:
    """W ⋆ r, before the pooling."""
    w = net.weights[edge]
    if w.dim() == 2:
        return torch.einsum("oi,ni->no", w, before.flatten(1))
    height, width = before.shape[2:]
    padded = torch.zeros(before.shape[0], before.shape[1], height + 2, width + 2, dtype=before.dtype)
    padded[:, :, 1:-1, 1:-1] = before
    total = torch.zeros(before.shape[0], w.shape[0], height, width, dtype=before.dtype)
    for dy in range(3):
        for dx in range(3):
            shifted = padded[:, :, dy : dy + height, dx : dx + width]
            total = total + torch.einsum("oi,nihw->nohw", w[:, :, dy, dx], shifted)
    return total


def pooled(net: Net, edge: int, sums: Tensor) -> Tensor:
    """P of an edge: the largest or the mean of each patch behind a convolution, nothing behind a dense edge."""
    if net.weights[edge].dim() == 2:
        return sums
    if net.pool == "average":
        return patches(sums).sum(-1) / 4
    return patches(sums).gather(-1, largest_of_patch(sums).unsqueeze(-1)).squeeze(-1)


def bias(net: Net, edge: int) -> Tensor:
    return net.biases[edge] if net.weights[edge].dim() == 2 else net.biases[edge][:, None, None]


def feedback(net: Net, edge: int, before: Tensor, behind: Tensor) -> Tensor:
    """Wᵀ ⋆ unpool(s; arg-max of W ⋆ r): what the layer behind an edge gives back to the one before it."""
    w = net.weights[edge]
    if w.dim() == 2:
        return torch.einsum("oi,no->ni", w, behind).view_as(before)
    height, width = before.shape[2:]
    spread = torch.zeros(len(before), w.shape[0], height, width, dtype=before.dtype)
    if net.pool == "max":
        which = largest_of_patch(product(net, edge, before))
    for number, (dy, dx) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        share = behind / 4 if net.pool == "average" else behind * (which == number)
        spread[:, :, dy::2, dx::2] = share
    canvas = torch.zeros(len(before), before.shape[1], height + 2, width + 2, dtype=before.dtype)
    for dy in range(3):
        for dx in range(3):
            part = torch.einsum("oi,nohw->nihw", w[:, :, dy, dx], spread)
            canvas[:, :, dy : dy + height, dx : dx + width] += part
    return canvas[:, :, 1:-1, 1:-1]


# --- energy ---


def energy(net: Net, layers: Layers) -> Tensor:
    """E of each sample, [N]."""
    total = torch.zeros(len(layers[0]), dtype=layers[0].dtype)
    for layer in range(1, net.layers() + 1):
        s = layers[layer]
        inner = s * pooled(net, layer - 1, product(net, layer - 1, layers[layer - 1]))
        total = total + 0.5 * (s * s).flatten(1).sum(1) - inner.flatten(1).sum(1)
        total = total - (bias(net, layer - 1) * s).flatten(1).sum(1)
    return total


def cost(layers: Layers, y: Tensor) -> Tensor:
    """C of each sample, [N]."""
    return 0.5 * ((layers[-1] - y) ** 2).sum(1)


def energy_gradient(net: Net, layers: Layers) -> list[Tensor]:
    """Mean over samples of ∂E/∂W and ∂E/∂b at fixed states: all weights, then all biases."""
    leaves = [w.clone().requires_grad_() for w in net.weights + net.biases]
    number = net.layers()
    held = [s.detach() for s in layers]
    total = energy(Net(leaves[:number], leaves[number:], net.pool), held).mean()
    return list(torch.autograd.grad(total, leaves))


# --- relaxation ---


def drive(net: Net, layers: Layers, layer: int) -> Tensor:
    up = pooled(net, layer - 1, product(net, layer - 1, layers[layer - 1])) + bias(net, layer - 1)
    if layer == net.layers():
        return up
    return up + feedback(net, layer, layers[layer], layers[layer + 1])


def moved(net: Net, layers: Layers, which: Sequence[int], output: Output) -> Layers:
    """All layers, of which some are at their minima given the others as they were."""
    after = list(layers)
    for layer in which:
        if layer == net.layers():
            after[layer] = output(drive(net, layers, layer))
        else:
            after[layer] = drive(net, layers, layer).clamp(0, 1)
    return after


def iteration(net: Net, layers: Layers, order: str, output: Output) -> Layers:
    every = range(1, net.layers() + 1)
    if order == "synchronous":
        return moved(net, layers, list(every), output)
    odd = moved(net, layers, [layer for layer in every if layer % 2 == 1], output)
    return moved(net, odd, [layer for layer in every if layer % 2 == 0], output)


def free_phase(net: Net, layers: Layers, iterations: int, order: str) -> Layers:
    """Minimise E."""
    for _ in range(iterations):
        layers = iteration(net, layers, order, lambda drive: drive)
    return layers


def nudged_phase(net: Net, layers: Layers, iterations: int, order: str, n: float, y: Tensor) -> Layers:
    """Minimise E + n C: the output's minimum is where o − drive + n (o − y) = 0."""
    for _ in range(iterations):
        layers = iteration(net, layers, order, lambda drive: (drive + n * y) / (1 + n))
    return layers


def held_phase(net: Net, layers: Layers, iterations: int, order: str, held: Tensor) -> Layers:
    """Minimise E over the hidden layers; the output is held from the start."""
    layers = [*layers[:-1], held]
    for _ in range(iterations):
        layers = iteration(net, layers, order, lambda drive: held)
    return layers


def zeros(net: Net, x: Tensor) -> Layers:
    """The input, and layers of zeros."""
    layers, size = [x], x.shape[-1]
    for w in net.weights:
        size //= 2
        shape = (w.shape[0], size, size) if w.dim() == 4 else (w.shape[0],)
        layers.append(torch.zeros(len(x), *shape, dtype=x.dtype))
    return layers


# --- the seven algorithms ---


@dataclass(frozen=True)
class Update:
    """The gradient of a method, weights then biases, and the free state that it was made from."""

    gradient: list[Tensor]
    free: Layers


@dataclass(frozen=True)
class Phases:
    """Iterations of the free phase and of a perturbed one, and their order."""

    free: int
    perturbed: int
    order: str


def positive_ep(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Free phase, and minimise E + β C: [∂E(β) − ∂E(0)] / β."""
    free = free_phase(net, start, phases.free, phases.order)
    nudged = nudged_phase(net, free, phases.perturbed, phases.order, beta, y)
    there, here = energy_gradient(net, nudged), energy_gradient(net, free)
    return Update([(a - b) / beta for a, b in zip(there, here, strict=True)], free)


def negative_ep(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Free phase, and minimise E − β C: [∂E(0) − ∂E(−β)] / β."""
    free = free_phase(net, start, phases.free, phases.order)
    repelled = nudged_phase(net, free, phases.perturbed, phases.order, -beta, y)
    here, there = energy_gradient(net, free), energy_gradient(net, repelled)
    return Update([(a - b) / beta for a, b in zip(here, there, strict=True)], free)


def centered_ep(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Minimise E + β C and E − β C, both from the free state: [∂E(β) − ∂E(−β)] / 2β."""
    free = free_phase(net, start, phases.free, phases.order)
    nudged = nudged_phase(net, free, phases.perturbed, phases.order, beta, y)
    repelled = nudged_phase(net, free, phases.perturbed, phases.order, -beta, y)
    above, below = energy_gradient(net, nudged), energy_gradient(net, repelled)
    return Update([(a - b) / (2 * beta) for a, b in zip(above, below, strict=True)], free)


def positive_cpl(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Hold the output at (1 − β) o* + β y: [∂E(β) − ∂E(0)] / β."""
    free = free_phase(net, start, phases.free, phases.order)
    toward = (1 - beta) * free[-1] + beta * y
    clamped = held_phase(net, free, phases.perturbed, phases.order, toward)
    there, here = energy_gradient(net, clamped), energy_gradient(net, free)
    return Update([(a - b) / beta for a, b in zip(there, here, strict=True)], free)


def negative_cpl(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Hold the output at (1 + β) o* − β y, away from the target: [∂E(0) − ∂E(−β)] / β."""
    free = free_phase(net, start, phases.free, phases.order)
    away = (1 + beta) * free[-1] - beta * y
    clamped = held_phase(net, free, phases.perturbed, phases.order, away)
    here, there = energy_gradient(net, free), energy_gradient(net, clamped)
    return Update([(a - b) / beta for a, b in zip(here, there, strict=True)], free)


def centered_cpl(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Hold the output on both sides of o*: [∂E(β) − ∂E(−β)] / 2β."""
    free = free_phase(net, start, phases.free, phases.order)
    toward, away = free[-1] + beta * (y - free[-1]), free[-1] - beta * (y - free[-1])
    above = energy_gradient(net, held_phase(net, free, phases.perturbed, phases.order, toward))
    below = energy_gradient(net, held_phase(net, free, phases.perturbed, phases.order, away))
    return Update([(a - b) / (2 * beta) for a, b in zip(above, below, strict=True)], free)


def contrastive(net: Net, start: Layers, y: Tensor, beta: float, phases: Phases) -> Update:
    """Hold the output at the target: ∂E(1) − ∂E(0). There is no β."""
    free = free_phase(net, start, phases.free, phases.order)
    clamped = held_phase(net, free, phases.perturbed, phases.order, y)
    there, here = energy_gradient(net, clamped), energy_gradient(net, free)
    return Update([a - b for a, b in zip(there, here, strict=True)], free)


ALGORITHMS: dict[str, Callable[[Net, Layers, Tensor, float, Phases], Update]] = {
    "p-ep": positive_ep,
    "n-ep": negative_ep,
    "c-ep": centered_ep,
    "p-cpl": positive_cpl,
    "n-cpl": negative_cpl,
    "c-cpl": centered_cpl,
    "cl": contrastive,
}
