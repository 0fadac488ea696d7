"""The bound of :mod:`driftproof.training.bound`, measured: draws of the noise, and KL from where training started."""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from driftproof.calls.network import unwrap
from driftproof.chip import Chip
from driftproof.data import Data, as_data, hold
from driftproof.defaults import SEED
from driftproof.errors import DriftproofError
from driftproof.inputs import main_output
from driftproof.keywords import checks_keywords
from driftproof.training.answers import BATCH_SIZE, answers, are_classes
from driftproof.training.bound import DELTA, Bound, check_delta, gaussian_kl, pac_bayes_bound
from driftproof.training.fresh_key import fresh_key
from driftproof.training.noise import DeviceNoise, GaussianNoise, Noise, NoiseLike, as_noise
from driftproof.training.weights import AnalogWeights, OnTiles

DEFAULT_DRAWS = 100
STEPS_PER_OCTAVE = 64
"""How fine the grid of the prior's spreads is: half a step off costs 3e-5 nats a weight, the choice some 12 a layer."""


@dataclass(frozen=True)
class Normal:
    """Independent normal weights of one array, in the parameter's shape and in weight units."""

    mean: Tensor
    spread: Tensor

    def where(self, kept: Tensor) -> Normal:
        """Return some of the weights."""
        return Normal(self.mean[kept], self.spread[kept])

    def to(self, device: torch.device) -> Normal:
        """Return the same on a device."""
        return Normal(self.mean.to(device), self.spread.to(device))

    def kl(self, other: Normal) -> float:
        """Return KL(self ‖ other) in nats."""
        return gaussian_kl(self.mean, self.spread, other.mean, other.spread)


@checks_keywords
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
    """Bound the error of a network with noisy weights on new samples. For real networks it is usually vacuous.

    - Q is the noise around the weights: the draws are the sampler's, new ones that no training has had.
    - P is normal around ``start``. In a layer its spreads are as the noise's around the start's weights, the largest
      one 2^(j/64) times the layer's largest weight; every whole j has a share 1/((k + 1)(k + 2)) of P, k = 0, 1, 2, …
      for j = 0, 1, −1, 2, …, and the best one counts, with ln((k + 1)(k + 2)) nats for the choice. So how strong noise
      and prior are may be chosen on the samples, the prior layer by layer; the kind of noise may not.
    - Digital numbers (biases, norms and their running statistics, layers that stay digital) have no noise. P gives half
      to each tensor as the start has it and half to all bit patterns alike: one that training changed costs ln 2 for
      each of its bits, 32 a number. Freeze them, or the bound is soon vacuous by them alone.

    Args:
        model: a trained network that tells classes apart; it is not changed.
        start: the network as it was before it saw any of these samples: new, or pre-trained on others. **None** if
            the samples were held out, neither trained nor chosen on: then there is no KL, the bound is seldom vacuous,
            and the noise may be any device.
        data: the samples, of any kind that :func:`driftproof.evaluate` takes. With a start: those trained on.
        noise: a normal one if there is a start: ``gaussian:0.1`` and its kin, ``norm:0.005``.
        draws: how many; their own uncertainty is ln(4/δ)/m nats.
        delta: how often the bound may be wrong. Several bounds that shall all hold share it out.
        prior_sigma: spread of P in weight units instead, the same for all weights, fixed before the samples were seen.
        test_noise: a smaller noise, to see what carries over to it (:class:`driftproof.training.AtTestNoise`). Its own
            bound is ``noise=`` it.
        seed: of the draws.
        on_tiles: which weights are analog, and how they are mapped.
        batch_size: samples per forward pass.

    Raises:
        DriftproofError: a start of another structure; a noise whose KL has no closed form; a test noise that is larger
            somewhere; no classes; impossible numbers.

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
    weights = AnalogWeights.of(model, example, on_tiles)
    kl: dict[str, float] = {}
    if start is not None:
        _check_same_structure(weights.network, unwrap(start))
        kl = _kl_by_layer(weights, AnalogWeights.of(start, example, on_tiles), law, prior_sigma)
    errors, classes = _errors(weights, samples, law, draws, seed, batch_size)
    found = pac_bayes_bound(errors=errors, kl=kl, samples=len(samples), classes=classes, noise=str(law), delta=delta)
    if test_noise is None:
        return found
    test = as_noise(test_noise)
    nats = _kl_between(weights, test, law)
    at_test, _ = _errors(weights, samples, test, draws, seed, batch_size)
    return found.at_noise(str(test), error=math.fsum(at_test) / draws, kl=nats)


def _errors(
    weights: AnalogWeights, data: Data, noise: Noise, draws: int, seed: int, batch_size: int
) -> tuple[list[float], int]:
    """Return the share of wrong answers of every draw, and how many classes there are."""
    errors, classes = [], 0
    for number in range(draws):
        drawn = noise.draw(weights, fresh_key(seed, number))
        wrong = 0
        with weights.holding(drawn):
            for returned, targets in answers(weights.network, data, batch_size):
                outputs = main_output(returned)
                if not are_classes(outputs, targets):
                    raise DriftproofError(
                        f"the bound counts wrong answers: wanted outputs [N, classes] and whole numbers [N] as "
                        f"targets, got {list(outputs.shape)} and {targets.dtype} {list(targets.shape)}"
                    )
                classes = outputs.shape[1]
                # an output that is no number is no right answer
                right = (outputs.argmax(dim=1) == targets) & torch.isfinite(outputs).all(dim=1)
                wrong += int((~right).sum())
        errors.append(wrong / len(data))
    return errors, classes


# --- the law of the noisy weights ---


@torch.no_grad()
def normals(weights: AnalogWeights, noise: Noise) -> dict[str, Normal] | None:
    """Return mean and spread of every noisy weight, array name → normal; None if the noise is not normal.

    The spread is what the sampler's own law does with ξ = 1 in place of a normal number.
    """
    if isinstance(noise, GaussianNoise):
        return {name: _of_filters(weights, name, noise) for name in weights.parameters}
    if not isinstance(noise, DeviceNoise):
        return None
    chip, found = Chip(weights.mapped(), noise.at.device, seed=-1, chip=-1, compensation="none"), {}
    for name, mapped in chip.weights.items():
        laws, w = noise.at.device.for_layer(name).laws, mapped.target.double()
        assert laws is not None  # devices that training draws have laws in every layer
        law = laws.programming
        if not law.is_normal or laws.levels is not None:
            return None
        mean = law.programmed(w, torch.zeros_like(w))
        spread = (law.programmed(w, torch.ones_like(w)) - mean).abs()
        found[name] = Normal(mapped.weight(mean), mapped.weight(spread))
    return found


def _of_filters(weights: AnalogWeights, name: str, noise: GaussianNoise) -> Normal:
    weight, layout = weights.parameters[name].detach(), weights.mapping.weights[name].layout
    matrix = layout.matrix(weight).double()
    spread = noise.spread(matrix).expand_as(matrix)
    return Normal(weight.double(), layout.weight(spread, tuple(weight.shape)))


def _normals(weights: AnalogWeights, noise: Noise) -> dict[str, Normal]:
    found = normals(weights, noise)
    if found is None:
        raise DriftproofError(
            f"noise {noise}: the KL of its law has no closed form; wanted a normal one, such as gaussian:0.1, or "
            "samples that were held out (start=None), for which any noise will do"
        )
    return found


# --- KL ---


def _kl_by_layer(
    weights: AnalogWeights, start: AnalogWeights, noise: Noise, prior_sigma: float | None
) -> dict[str, float]:
    """Return where → KL(Q ‖ P) in nats."""
    now, then = _normals(weights, noise), _normals(start, noise)
    kl = {}
    for name, normal in now.items():
        before = then[name].to(normal.mean.device)
        if prior_sigma is not None:
            kl[name] = gaussian_kl(normal.mean, normal.spread, before.mean, prior_sigma)
        elif bool((before.spread > 0).all()):
            kl[name] = mixture_kl(normal, prior_shape(before))
        else:
            raise DriftproofError(
                f"layer {name or '(root)'}: {noise} is no noise at some weights of the start, such as columns of "
                "zeros, so a prior has no spread there; give prior_sigma"
            )
    analog = {id(parameter) for parameter in weights.parameters.values()}
    return kl | {"digital numbers": _kl_of_digital(_state(weights.network), _state(start.network), analog)}


def prior_shape(start: Normal) -> Normal:
    """Return the start with spreads of the same proportions, the largest as large as the largest weight.

    How strong the noise is, is no longer in it.
    """
    return Normal(start.mean, start.spread * (start.mean.abs().max() / start.spread.max()))


def mixture_kl(now: Normal, start: Normal) -> float:
    """Return an upper limit of KL(now ‖ Σ_j π_j N(start's mean, (2^(j/64) start's spread)²)) in nats: its best part's.

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
    """Return the nats that it takes to say a network's digital numbers, given those of its start."""
    bits = 0
    for name, tensor in now.items():
        if id(tensor) in analog:
            continue
        same = tensor.dtype == then[name].dtype and torch.equal(tensor.detach().cpu(), then[name].detach().cpu())
        bits += 1 if same else 1 + 8 * tensor.element_size() * tensor.numel()
    return math.log(2) * bits


def _kl_between(weights: AnalogWeights, test: Noise, noise: Noise) -> float:
    """Return KL(test ‖ noise) around the same weights in nats; infinite if one is not normal."""
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
        noisy = outer.spread > 0  # what has no noise under either is the same under both
        total += inner.where(noisy).kl(outer.where(noisy))
    return total


# --- two networks ---


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Return all that training can change: parameters and buffers, each once."""
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
