"""Twenty short trainings: every method, with other noises, ramps, norm policies, clipping, distillation and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

import driftproof as dp
from driftproof.data import Data, digits
from driftproof.training import Method
from driftproof.training._schedules import Adaptive, Sampled
from golden.compute import Cell, digest, short
from golden.networks import small_conv, untrained_digits_cnn

SAMPLES = 96


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        method: makes the method anew.
        network: which one; its weights are seeded, not trained.
        settings: of ``driftproof.train``, other than the usual ones.
    """

    method: Callable[[], Method]
    network: str = "digits-cnn"
    settings: dict[str, Any] = field(default_factory=dict)


def _pcm(t: str) -> Any:
    return dp.load_preset("pcm-nandakumar-2019").at(t)


CASES: dict[str, Case] = {
    "plain": Case(dp.Plain),
    "plain-small-adamw-distil": Case(
        # frozen: Adam would make noise of the gradient of a bias before a BatchNorm, which is zero but for rounding
        lambda: dp.Plain(norms="frozen"),
        "small-conv",
        {"optimizer": "adamw", "lr": 0.002, "distil": dp.Distillation(weight=0.5)},
    ),
    "rwp-pcm-1d": Case(lambda: dp.RWP(noise=_pcm("1d"))),
    "rwp-pcm-range-quadratic-ramp": Case(
        lambda: dp.RWP(noise=_pcm("1h..30d"), strength=dp.ramp("quadratic", to=2.0), norms="clean")
    ),
    "rwp-small-gaussian-clip-recalibrate": Case(
        lambda: dp.RWP(noise="gaussian:0.1", norms="recalibrate", clip=dp.ClipWeights(sigmas=2.0)), "small-conv"
    ),
    "rwp-sonos-micro-batches": Case(
        lambda: dp.RWP(noise=dp.load_preset("sonos-agrawal-2022").at("1d"), seed=3), settings={"micro_batches": 2}
    ),
    "rwp-small-mix-frozen": Case(
        lambda: dp.RWP(noise="gaussian:0.05,fc*=uniform:0.2", strength=Sampled(0.5, 1.5), norms="frozen"), "small-conv"
    ),
    "rwp-norm-noise-on-some-tiles": Case(
        lambda: dp.RWP(noise="norm:0.01", on_tiles=dp.OnTiles(where="conv2,fc1", tile=dp.TileSize(100, 24)))
    ),
    "two-point-rwp-hermes": Case(lambda: dp.TwoPointRWP(noise=dp.load_preset("pcm-hermes-2").at("1h"))),
    "mixed-rwp-cmo-adaptive-ramp": Case(
        lambda: dp.MixedRWP(noise=dp.load_preset("reram-cmo-2pct").at("1h"), strength=Adaptive(to=1.5), mix=0.4)
    ),
    "adaptive-rwp-small-wan": Case(
        lambda: dp.AdaptiveRWP(noise=dp.load_preset("reram-wan-2022").at("1d"), eta=0.5), "small-conv"
    ),
    "sam": Case(dp.SAM),
    "sam-small-two-steps-perturbed-norms": Case(
        lambda: dp.SAM(rho=0.1, ascent_steps=2, norms="perturbed"), "small-conv", {"clip_norm": 1.0}
    ),
    "asam": Case(lambda: dp.ASAM(rho=0.5)),
    "multi-step-sam": Case(lambda: dp.MultiStepSAM(rho=dp.ramp("cosine", to=0.1, start=0.02))),
    "gsam": Case(lambda: dp.GSAM(rho=0.05, alpha=0.3)),
    "looksam": Case(lambda: dp.LookSAM(rho=0.05, every=2)),
    "sam-rwp-pcm": Case(lambda: dp.SAMRWP(noise=_pcm("1d"), rho=0.05, strength=dp.ramp("linear", to=1.0))),
    "noise-injection": Case(dp.NoiseInjection),
    "noise-injection-small-distil-micro-batches": Case(
        dp.NoiseInjection, "small-conv", {"distil": dp.Distillation(), "micro_batches": 2, "clip_norm": 0.5}
    ),
}


@lru_cache(maxsize=1)
def train_data() -> Data:
    """Return the samples that are trained on."""
    return digits("train").head(SAMPLES)


def compute_training(name: str) -> Cell:
    """Return what is stored of a training: a hash of all final tensors, their norms, and the middle one of each."""
    case = CASES[name]
    settings = {"epochs": 2, "batch_size": 32, "lr": 0.01, "seed": 1} | case.settings
    start = small_conv() if case.network == "small-conv" else untrained_digits_cnn()
    trained = dp.train(start, train_data(), method=case.method(), progress=False, **settings)
    return state_of(trained.model)


def state_of(model: nn.Module) -> Cell:
    """Return what is stored of a network: the tensors are taken in the order of the state dict."""
    # without the BatchNorms' numbers of batches
    tensors = [value for value in model.state_dict().values() if value.is_floating_point()]
    assert all(bool(torch.isfinite(value).all()) for value in tensors)
    return {
        "weights_sha256": digest(tensors),
        "weight_norms": short(float(value.double().norm()) for value in tensors),
        "weights": short(float(value.reshape(-1)[value.numel() // 2]) for value in tensors),
    }
