"""Networks of all kinds on both backends: everything that multiplies is on tiles, and computes what it should."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._inputs import Inputs, call
from driftproof._mapping import TileSize, map_model
from driftproof._outputs import main_output
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from numbering import following

transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

IDS = {"input_ids": torch.arange(1, 19).view(2, 9)}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 50,
    "max_position_embeddings": 32,
}
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Tagger(nn.Module):
    """Words in, a class for each word out."""

    def __init__(self, cell: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 12)
        self.memory = cell(12, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 5)

    def forward(self, input_ids: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.memory(self.words(input_ids))[0])
        return outputs


class UNet(nn.Module):
    """Down, up with a transposed convolution, and a bridge."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.GroupNorm(4, 16), nn.SiLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down(x)
        outputs: Tensor = self.out(torch.cat([a, self.up(self.deep(a))], dim=1))
        return outputs


class Autoencoder(nn.Module):
    """Two layers with one weight, and a look-up table that shares its weight with the head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight, self.head.weight = self.one.weight, self.table.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.two(self.one(self.table(input_ids)).relu()))
        return outputs


def bert() -> nn.Module:
    network: nn.Module = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))
    return network


def gpt2() -> nn.Module:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 32}
    network: nn.Module = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    return network


def vit() -> nn.Module:
    sizes = {
        key: SMALL[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    }
    network: nn.Module = transformers.ViTForImageClassification(
        transformers.ViTConfig(**sizes, image_size=32, patch_size=8)
    )
    return network


def llama() -> nn.Module:
    network: nn.Module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, num_key_value_heads=2))
    return network


def t5() -> nn.Module:
    config = transformers.T5Config(
        d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=50, decoder_start_token_id=0
    )
    network: nn.Module = transformers.T5ForConditionalGeneration(config)
    return network


def whisper() -> nn.Module:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = transformers.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=48,
        num_mel_bins=16,
        max_source_positions=20,
    )
    return WhisperEncoder(config)


def mixtral() -> nn.Module:
    network: nn.Module = transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=3)
    )
    return network


def mobilenet() -> nn.Module:
    from torchvision.models import mobilenet_v2

    network: nn.Module = mobilenet_v2(width_mult=0.2, num_classes=10)
    return network


def swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    network: nn.Module = SwinTransformer(
        [4, 4], embed_dim=24, depths=[2, 1], num_heads=[2, 4], window_size=[2, 2], num_classes=10
    )
    return network


def beit() -> nn.Module:
    from timm.models.beit import Beit

    return Beit(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=4, num_classes=10)


def standardised() -> nn.Module:
    from timm.models.resnetv2 import ResNetV2

    return ResNetV2([1, 1], channels=(128, 128), num_classes=10, stem_chs=32)


def same_padding() -> nn.Module:
    create_conv2d: Callable[..., nn.Module] = timm.layers.create_conv2d
    return nn.Sequential(
        create_conv2d(3, 8, 3, stride=2, padding="same"),
        create_conv2d(8, 8, 5, stride=2, padding="same", depthwise=True),
        create_conv2d(8, 6, 3, stride=3, padding="same"),
    )


# name: how to make it, what it takes, (least share of the weights, of the multiply-accumulates) that is analog
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Inputs, tuple[float, float]]] = {
    "bert": (bert, IDS, (0.8, 1)),  # the rest are look-up tables and norms
    "gpt2": (gpt2, IDS, (0.85, 1)),
    "vit": (vit, {"pixel_values": IMAGE}, (0.95, 1)),
    "llama": (llama, IDS, (0.9, 1)),
    "t5": (t5, {**IDS, "decoder_input_ids": torch.arange(10).view(2, 5)}, (0.85, 1)),
    "whisper encoder": (whisper, {"input_features": torch.randn(2, 16, 40)}, (0.95, 1)),
    "mixtral": (mixtral, IDS, (0.9, 1)),
    "lstm tagger": (lambda: Tagger(nn.LSTM), IDS, (0.9, 1)),
    "gru tagger": (lambda: Tagger(nn.GRU), IDS, (0.9, 1)),
    "u-net": (UNet, IMAGE, (0.97, 1)),
    "tied weights": (Autoencoder, IDS, (0.5, 1)),
    "torch transformer": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),
        torch.randn(2, 5, 16),
        (0.97, 1),
    ),
    "torchvision mobilenet": (mobilenet, IMAGE, (0.95, 1)),
    "torchvision swin": (swin, IMAGE, (0.97, 1)),
    "timm beit": (beit, IMAGE, (0.95, 1)),
    "timm weight standardisation": (standardised, IMAGE, (0.9, 1)),
    "timm same padding": (same_padding, IMAGE, (0.99, 1)),
}


def lively(network: nn.Module) -> nn.Module:
    """Give parts that are born as zeros or ones some life, so that mistakes in them show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
                assert module.running_mean is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
        for parameter in network.parameters():
            if parameter.dim() == 1 or not bool(parameter.any()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def off(found: Any, wanted: Tensor) -> float:
    return float((main_output(found) - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_both_backends_compute_the_network_and_the_same_chip(name: str) -> None:
    torch.manual_seed(0)
    make, inputs, (weights, macs) = NETWORKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lively(make())
    with torch.inference_mode():
        wanted = main_output(call(network, inputs))
    mapping = map_model(network, TileSize(64, 40), example=inputs)
    assert not [entry.name for entry in mapping.layers if entry.unasked]
    assert all(entry.reason for entry in mapping.layers if not entry.analog)
    analog = sum(entry.weights for entry in mapping.layers if entry.analog)
    assert analog / sum(entry.weights for entry in mapping.layers) >= weights
    assert mapping.analog_macs_with_weights == macs

    folded, tiles = FoldedNetwork(network, mapping, inputs), TilesNetwork(network, mapping)
    ideal = Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0, compensation="none")
    noisy = Chip(mapping, dp.load_preset("gaussian:0.1"), seed=0, chip=0)
    for backend in (folded, tiles):
        backend.load(ideal, 0.0)
        assert off(backend(inputs), wanted) < 1e-4
    folded.load(noisy, 1.0)
    tiles.load(noisy, 1.0)
    fast = main_output(folded(inputs))
    moved = off(fast, wanted)
    assert moved > 2e-4
    assert off(tiles(inputs), fast) < moved / 50


@pytest.mark.parametrize("name", ["gpt2", "lstm tagger", "torch transformer", "u-net", "timm weight standardisation"])
@pytest.mark.parametrize("device", ["sonos-agrawal-2022"])
def test_noise_of_single_products_is_the_same_on_both_backends_and_in_any_batch(name: str, device: str) -> None:
    torch.manual_seed(0)
    make, inputs, _ = NETWORKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lively(make())
    mapping = map_model(network, TileSize(64, 40), example=inputs)
    folded, tiles = FoldedNetwork(network, mapping, inputs, fold=False), TilesNetwork(network, mapping)
    chip = Chip(mapping, dp.load_preset(device), seed=0, chip=0)
    folded.load(chip, 1.0)
    tiles.load(chip, 1.0)
    whole = main_output(folded(inputs))
    assert off(tiles(inputs), whole) < 1e-3
    second = {key: part[1:] for key, part in inputs.items()} if isinstance(inputs, dict) else inputs[1:]
    assert off(folded(second, following(1, second)), whole[1:]) < 1e-3
    assert off(folded(second, following(0, second)), whole[1:]) > 1e-3  # as sample 0 it has other noise
