"""The measured terms of the bound of :mod:`driftproof.analysis._bound`: draws of the noise, and KL from the start.

The bound is usually vacuous for real networks.

- Q is the noise around the weights. Its draws come from the sampler and are none that training has used.
- P is normal around ``start``. In a layer, its standard deviations are proportional to those of the noise around the
  weights of the start, and the largest is 2^(j/64) times the layer's largest weight. Every integer j has the share
  1/((k + 1)(k + 2)) of P, with k = 0, 1, 2, … for j = 0, 1, −1, 2, …. The best j is used and costs ln((k + 1)(k + 2))
  nats. So the strengths of noise and prior may be chosen on the samples, the prior's for each layer, but not the kind
  of noise.
- Digital numbers (biases, norms and their running statistics, layers that stay digital) have no noise. P gives one half
  to each tensor of the start and one half to all bit patterns equally: a tensor that training changed costs ln 2 per
  bit, 32 bits per number. Freeze these tensors, since they alone can make the bound vacuous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from driftproof._chip import Chip
from driftproof._defaults import SEED
from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._outputs import main_output
from driftproof._random_state import random_state_kept
from driftproof.analysis._answers import BATCH_SIZE, answers, are_classes, own_copy
from driftproof.analysis._bound import DELTA, Bound, check_delta, pac_bayes_bound
from driftproof.analysis._divergence import gaussian_kl
from driftproof.analysis._fresh_key import fresh_key
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.data._batched import hold
from driftproof.training._noise import DeviceNoise, GaussianNoise, Noise, NoiseLike, as_noise
from driftproof.training._weights import AnalogWeights, OnTiles

DEFAULT_DRAWS = 100
STEPS_PER_OCTAVE = 64
"""Steps of the prior's standard deviation: half a step costs 3e-5 nats per weight, the choice about 12 per layer."""


@dataclass(frozen=True)
class Normal:
    """Independent normal weights of an array, in the parameter's shape and in weight units; ``spread`` is σ."""

    mean: Tensor
    spread: Tensor


@checks_keywords
@random_state_kept()
def measure_bound(
    model: nn.Module,
    start: nn.Module | None,
    data: Data | object,
    noise: NoiseLike = "gaussian:0.1",
    *,
    draws: int = DEFAULT_DRAWS,
    delta: float = DELTA,
    prior_sigma: float | None = None,
    test_noise: NoiseLike | None = None,
    seed: int = SEED,
    on_tiles: OnTiles | None = None,
    batch_size: int = BATCH_SIZE,
) -> Bound:
    """Bound the error of a network with noisy weights on new samples by a PAC-Bayes bound, which is usually vacuous.

    Args:
        model: A trained network that classifies; it is not changed.
        start: The network before training on these samples: new, or pre-trained on others. **None** if the samples were
            held out, that is, used neither to train nor to choose: there is no KL then, the bound is seldom vacuous,
            and the noise may be any device.
        data: The samples, as any data that :func:`driftproof.evaluate` takes; with a start, the training samples.
        noise: The noise on the weights (default: ``gaussian:0.1``). With a start, it must be normal, such as
            ``gaussian:0.1`` or ``norm:0.005``.
        draws: Number of draws m of the noise (default: 100); they add ln(4/δ)/m nats.
        delta: Probability that the bound is wrong (default: 0.05). To use several bounds together, divide it by their
            number.
        prior_sigma: Standard deviation of P in weight units, the same for all weights, which was fixed before the
            samples were seen (default: chosen for each layer).
        test_noise: A smaller noise, for which the bound is stated as well (:class:`driftproof.analysis.AtTestNoise`;
            default: none).
        seed: Seed of the draws (default: 0).
        on_tiles: The weights that are analog, and how they are mapped (default: the weights that a conversion maps).
        batch_size: Samples per forward pass (default: 512).

    Raises:
        DriftproofError: the start has another structure; the KL of the noise has no closed form; the test noise is
            larger than the noise; the network does not classify.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> measure_bound(trained_digits_cnn(), None, digits(), "pcm-nandakumar-2019@1y", draws=5).vacuous
    False
    """
    check_delta(delta)
    if draws < 1:
        raise DriftproofError(f"draws {draws}: wanted at least 1")
    if prior_sigma is not None and start is None:
        raise DriftproofError("prior_sigma is the spread around a start, and there is none: held-out samples need none")
    samples, law = hold(as_data(data)), as_noise(noise)
    example, _ = next(iter(samples.batches(1)))
    weights = AnalogWeights.of(own_copy(model, example), example, on_tiles)
    kl = {}
    if start is not None:
        start = own_copy(start, example)
        _check_same_structure(weights.network, start)
        kl = _kl_by_layer(weights, AnalogWeights.of(start, example, on_tiles), law, prior_sigma)
    errors, classes = _errors(weights, samples, law, draws, seed, batch_size)
    bound = pac_bayes_bound(errors=errors, kl=kl, samples=len(samples), classes=classes, noise=str(law), delta=delta)
    if test_noise is None:
        return bound
    test = as_noise(test_noise)
    nats = _kl_between(weights, test, law)
    at_test, _ = _errors(weights, samples, test, draws, seed, batch_size)
    return bound.at_noise(str(test), error=math.fsum(at_test) / draws, kl=nats)


def _errors(
    weights: AnalogWeights, data: Data, noise: Noise, draws: int, seed: int, batch_size: int
) -> tuple[list[float], int]:
    """Return the share of wrong answers for every draw, and the number of classes."""
    errors, classes = [], 0
    for number in range(draws):
        wrong = 0
        with weights.holding(noise.draw(weights, fresh_key(seed, number))):
            for returned, targets in answers(weights.network, data, batch_size):
                outputs = main_output(returned)
                if not are_classes(outputs, targets):
                    raise DriftproofError(
                        f"the bound counts wrong answers: wanted outputs [N, classes] and whole numbers [N] as "
                        f"targets, got {list(outputs.shape)} and {targets.dtype} {list(targets.shape)}"
                    )
                classes = outputs.shape[1]
                # an output that is not finite is a wrong answer
                right = (outputs.argmax(dim=1) == targets) & torch.isfinite(outputs).all(dim=1)
                wrong += int((~right).sum())
        errors.append(wrong / len(data))
    return errors, classes


# --- the law of the noisy weights ---


@torch.no_grad()
def normals(weights: AnalogWeights, noise: Noise) -> dict[str, Normal] | None:
    """Return array name → mean and standard deviation of its noisy weights; None if the noise is not normal.

    The standard deviation is the change that the sampler's law makes for ξ = 1.
    """
    if isinstance(noise, GaussianNoise):
        return {name: _of_filters(weights, name, noise) for name in weights.parameters}
    if not isinstance(noise, DeviceNoise):
        return None
    chip, normal = Chip(weights.mapped(), noise.at.device, seed=-1, chip=-1, compensation="none"), {}
    for name, mapped in chip.weights.items():
        laws, w = noise.at.device.for_layer(name).laws, mapped.target.double()
        assert laws is not None  # devices that training draws have laws in every layer
        law = laws.programming
        if not law.is_normal or laws.levels is not None:
            return None
        mean = law.programmed(w, torch.zeros_like(w))
        spread = (law.programmed(w, torch.ones_like(w)) - mean).abs()
        normal[name] = Normal(mapped.weight(mean), mapped.weight(spread))
    return normal


def _of_filters(weights: AnalogWeights, name: str, noise: GaussianNoise) -> Normal:
    weight, layout = weights.parameters[name].detach(), weights.mapping.weights[name].layout
    matrix = layout.matrix(weight).double()
    spread = noise.sigma(matrix).expand_as(matrix)
    return Normal(weight.double(), layout.weight(spread, tuple(weight.shape)))


# --- KL ---


def _kl_by_layer(
    weights: AnalogWeights, start: AnalogWeights, noise: Noise, prior_sigma: float | None
) -> dict[str, float]:
    """Return layer → KL(Q ‖ P) in nats."""
    now, then = normals(weights, noise), normals(start, noise)
    if now is None or then is None:
        raise DriftproofError(
            f"noise {noise}: the KL of its law has no closed form; wanted a normal one, such as gaussian:0.1, or "
            "samples that were held out (start=None), for which any noise will do"
        )
    kl = {}
    for name, normal in now.items():
        torch_device = normal.mean.device
        before = Normal(then[name].mean.to(torch_device), then[name].spread.to(torch_device))
        if prior_sigma is not None:
            kl[name] = gaussian_kl(normal.mean, normal.spread, before.mean, prior_sigma)
        elif bool((before.spread > 0).all()):
            kl[name] = mixture_kl(normal, prior_shape(before))
        else:
            raise DriftproofError(
                f"layer {name or '(root)'}: {noise} is zero at some weights of the start, such as columns of "
                "zeros, so a prior has no standard deviation there; give prior_sigma"
            )
    analog = {id(parameter) for parameter in weights.parameters.values()}
    return kl | {"digital numbers": _kl_of_digital(_state(weights.network), _state(start.network), analog)}


def prior_shape(start: Normal) -> Normal:
    """Return the start with proportional standard deviations, the largest equal to the largest weight.

    The result does not depend on the strength of the noise.
    """
    return Normal(start.mean, start.spread * (start.mean.abs().max() / start.spread.max()))


def mixture_kl(now: Normal, start: Normal) -> float:
    """Return an upper bound of KL(now ‖ Σ_j π_j N(start.mean, (2^(j/64) start.spread)²)) in nats, from its best j.

    KL(Q ‖ Σ π_j P_j) ≤ KL(Q ‖ P_j) + ln(1/π_j) for every j, since the mixture is at least π_j P_j everywhere.
    """
    best = (now.spread.square() + (now.mean - start.mean).square()) / start.spread.square()
    place = STEPS_PER_OCTAVE * 0.5 * math.log2(float(best.mean()))
    return min(
        gaussian_kl(now.mean, now.spread, start.mean, start.spread * 2 ** (j / STEPS_PER_OCTAVE)) + choice_nats(j)
        for j in (math.floor(place), math.ceil(place))
    )


def choice_nats(j: int) -> float:
    """Return ln((k + 1)(k + 2)), k = 0, 1, 2, 3, 4, … for j = 0, 1, −1, 2, −2, …: the shares of all j add up to 1.

    >>> [round(math.exp(-choice_nats(j)), 3) for j in (0, 1, -1, 2)]
    [0.5, 0.167, 0.083, 0.05]
    """
    k = 2 * j - 1 if j > 0 else -2 * j
    return math.log((k + 1) * (k + 2))


def _kl_of_digital(now: Dictionary[str, Tensor], then: Dictionary[str, Tensor], analog: set[int]) -> float:
    """Return the KL in nats of a network's digital numbers, given those of its start."""
    bits = 0
    for name, tensor in now.items():
        if id(tensor) in analog:
            continue
        same = tensor.dtype == then[name].dtype and torch.equal(tensor.detach().cpu(), then[name].detach().cpu())
        bits += 1 if same else 1 + 8 * tensor.element_size() * tensor.numel()
    return math.log(2) * bits


def _kl_between(weights: AnalogWeights, test: Noise, noise: Noise) -> float:
    """Return KL(test ‖ noise) around the same weights in nats; infinite if one of the two is not normal."""
    small, large = normals(weights, test), normals(weights, noise)
    if small is None or large is None:
        return math.inf
    total = 0.0
    for name, inner in small.items():
        outer = large[name]
        if bool((inner.spread > outer.spread).any()):
            raise DriftproofError(
                f"test noise {test} is larger than {noise} at layer {name or '(root)'}: nothing carries over to a "
                f"larger noise; bound it itself, noise={str(test)!r}"
            )
        noisy = outer.spread > 0  # weights without noise are the same under both
        total += gaussian_kl(inner.mean[noisy], inner.spread[noisy], outer.mean[noisy], outer.spread[noisy])
    return total


# --- two networks ---


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Return everything that training can change: parameters and buffers, each once."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def _check_same_structure(network: nn.Module, start: nn.Module) -> None:
    now = {name: list(tensor.shape) for name, tensor in _state(network).items()}
    then = {name: list(tensor.shape) for name, tensor in _state(start).items()}
    for name in now.keys() | then.keys():
        if now.get(name) != then.get(name):
            raise DriftproofError(
                f"the start is another network: {name} is {then.get(name, 'missing')} there and "
                f"{now.get(name, 'missing')} in the model; wanted the same structure before training"
            )
