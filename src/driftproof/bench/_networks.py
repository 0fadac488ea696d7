"""The networks that are timed, with random weights and random inputs: nothing is downloaded, no data is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._random_state import random_state_kept
from driftproof.zoo import resnet20

CONTIGUOUS, CHANNELS_LAST = "contiguous", "channels-last"
LAYOUTS = {CONTIGUOUS: torch.contiguous_format, CHANNELS_LAST: torch.channels_last}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network and the inputs on which it is timed.

    Attributes:
        name: Name on the command line and in JSON.
        title: Name in the table.
        network: The network, in eval mode and float32.
        inputs: Inputs [N, …].
        targets: Targets [N] or [N, …] for the metric, random like the inputs.
        metric: Metric of the cells.
        batch_size: Largest batch of a cell.
        layouts: Names of the layouts of memory of plain passes.
        plain_batch_sizes: Batch sizes of plain passes. They divide N, so that all batches are equal.
        peer_samples: Number of inputs that other simulators compute, which are up to 40 times slower.
    """

    name: str
    title: str
    network: nn.Module
    inputs: Tensor
    targets: Tensor
    metric: str
    batch_size: int
    layouts: tuple[str, ...]
    plain_batch_sizes: tuple[int, ...]
    peer_samples: int


def _resnet20(quick: bool) -> Workload:
    number = 100 if quick else 2000
    return Workload(
        name="resnet20",
        title="ResNet-20, CIFAR-sized images",
        network=resnet20().eval(),
        inputs=torch.randn(number, 3, 32, 32),
        targets=torch.randint(10, (number,)),
        metric="accuracy",
        batch_size=250,
        layouts=(CONTIGUOUS, CHANNELS_LAST),
        plain_batch_sizes=(10, 25, 50, 100) if quick else (10, 25, 50, 100, 250),
        peer_samples=10 if quick else 200,
    )


def _resnet18(quick: bool) -> Workload:
    from torchvision.models import resnet18

    number = 16 if quick else 64
    return Workload(
        name="resnet18",
        title="ResNet-18, images of 224 × 224",
        network=resnet18(weights=None).eval(),
        inputs=torch.randn(number, 3, 224, 224),
        targets=torch.randint(1000, (number,)),
        metric="accuracy",
        batch_size=16,
        layouts=(CONTIGUOUS, CHANNELS_LAST),
        plain_batch_sizes=(2, 8, 16) if quick else (1, 2, 4, 8, 16),
        peer_samples=2 if quick else 4,
    )


def _bert_layer(quick: bool) -> Workload:
    number, tokens, width = 16 if quick else 64, 128, 768
    try:
        transformers: Any = importlib.import_module("transformers")
        bert: Any = importlib.import_module("transformers.models.bert.modeling_bert")
        network: nn.Module = bert.BertLayer(transformers.BertConfig(attn_implementation="sdpa"))
        source = "transformers' BertLayer"
    except ImportError:
        network = nn.TransformerEncoderLayer(width, 12, 3072, activation="gelu", batch_first=True)
        source = "torch's TransformerEncoderLayer"
    return Workload(
        name="bert-layer",
        title=f"one BERT-base layer ({source}), 128 tokens",
        network=network.eval(),
        inputs=torch.randn(number, tokens, width),
        targets=torch.randn(number, tokens, width),
        metric="mse",
        batch_size=16,
        layouts=(CONTIGUOUS,),
        plain_batch_sizes=(2, 8, 16) if quick else (1, 2, 4, 8, 16),
        peer_samples=2 if quick else 8,
    )


_MAKERS: dict[str, Callable[[bool], Workload]] = {
    "resnet20": _resnet20,
    "resnet18": _resnet18,
    "bert-layer": _bert_layer,
}
NETWORKS = tuple(_MAKERS)


@random_state_kept()
def workload(name: str, quick: bool) -> Workload:
    """Return a network with inputs, the same at every call.

    Args:
        name: One of :data:`NETWORKS`.
        quick: Whether there are few inputs.

    Raises:
        DriftproofError: There is no such network.

    >>> workload("resnet20", quick=True).inputs.shape
    torch.Size([100, 3, 32, 32])
    """
    if name not in _MAKERS:
        raise DriftproofError(f"no network {name!r}{did_you_mean(name, NETWORKS)}; there are {', '.join(NETWORKS)}")
    torch.manual_seed(0)
    return _MAKERS[name](quick)
