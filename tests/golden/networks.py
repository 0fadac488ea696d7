"""The two networks, their data, and the peripheries of the golden cells."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from driftproof.data import Data, digits
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._settings import PeripherySource, WeightNoise
from driftproof.zoo import digits_cnn, trained_digits_cnn

SAMPLES = 40
BATCH_SIZE = 16  # so that there are several batches, the last of them smaller
SOURCE = PeripherySource(title="None", where="chosen for the golden cells")


class SmallConv(nn.Module):
    """A plain, a grouped and a transposed convolution, BatchNorms, and linear layers; inputs are [N, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.fc1 = nn.Linear(6 * 16, 24, bias=False)
        self.fc2 = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, 10]."""
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = nn.functional.avg_pool2d(torch.relu(self.up(torch.relu(self.bn2(self.conv2(x))))), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))  # type: ignore[no-any-return]


def small_conv() -> SmallConv:
    """Return the network with seeded weights, in eval mode."""
    return _seeded(SmallConv()).eval()


def untrained_digits_cnn() -> nn.Module:
    """Return digits-cnn with seeded weights, for trainings: the trained one would hardly move."""
    return _seeded(digits_cnn()).eval()


def _seeded[T: nn.Module](network: T) -> T:
    """Give a network weights that are integers over a power of two: the same bits on every processor."""
    source = torch.Generator().manual_seed(5)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.randint(0, 2**12, like.shape, generator=source).float() / 2**12

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.25, 0.25))
                for statistic, low, high in ((module.running_mean, -0.125, 0.125), (module.running_var, 0.25, 0.75)):
                    assert statistic is not None
                    statistic.copy_(uniform(statistic, low, high))
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                half = 0.125 if module.weight.numel() > 10_000 else 0.5
                module.weight.copy_(uniform(module.weight, -half, half))
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias, -0.125, 0.125))
    return network


def network(name: str) -> nn.Module:
    """Return a network of the design."""
    return trained_digits_cnn() if name == "digits-cnn" else small_conv()


@lru_cache(maxsize=1)
def data() -> Data:
    """Return the samples that all cells are measured on."""
    return digits().head(SAMPLES)


@lru_cache(maxsize=1)
def other_data() -> Data:
    """Return samples for static input ranges and BatchNorm statistics."""
    return digits("train").head(48)


def periphery(name: str) -> Periphery:
    """Return a periphery of the design."""
    if name == "dynamic":
        return Periphery(
            name=name, dac_bits=7, adc_bits=8, adc_full_scale=8.0, input_range=DynamicRange(), source=SOURCE
        )
    if name == "mvm-noise":
        noise = WeightNoise(law="pcm-read", sigma=0.02)
        return Periphery(
            name=name, output_noise=0.03, mvm_weight_noise=noise, input_range=DynamicRange(), source=SOURCE
        )
    if name == "static-weight-noise":
        return Periphery(
            name=name,
            dac_bits=6,
            mvm_weight_noise=WeightNoise(law="constant", sigma=0.01),
            input_range=StaticRange(method="moving", quantile=0.99),
            source=SOURCE,
        )
    return load_periphery(name)
