"""The networks of the table, with random weights: each has a library, a name, a function that makes it, and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import timm
import torch
import torchvision
import transformers
from torch import Tensor, nn

TORCHVISION = {
    64: "resnet18 resnet50 resnext50_32x4d wide_resnet50_2 vgg11_bn mobilenet_v2 mobilenet_v3_small efficientnet_b0 "
    "densenet121 googlenet squeezenet1_1 shufflenet_v2_x0_5 convnext_tiny regnet_y_400mf mnasnet0_5 swin_t swin_v2_t",
    96: "alexnet inception_v3",
    224: "vit_b_32 maxvit_t",
}
TIMM = {
    64: "convmixer_768_32 tf_efficientnet_lite0 resnetv2_50x1_bit nfnet_l0 ghostnet_100 hrnet_w18_small mobilevit_xxs "
    "poolformer_s12 repvgg_a0 edgenext_xx_small fastvit_t8 regnetx_002 dpn48b",
    224: "deit_tiny_patch16_224 mixer_s32_224 beit_base_patch16_224 eva02_tiny_patch14_224 coatnet_0_rw_224 levit_128s "
    "xcit_nano_12_p16_224 resmlp_12_224 gmlp_s16_224 cait_xxs24_224 efficientformer_l1 volo_d1_224",
}
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}
WORDS = {"input_ids": torch.arange(1, 25).view(2, 12)}


class Tagger(nn.Module):
    """Assigns a class to each word of a sentence."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.words, self.memory = nn.Embedding(100, 32), cell(32, 48, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 9)

    def forward(self, input_ids: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.memory(self.words(input_ids))[0])
        return outputs


class UNet(nn.Module):
    """Two levels down, two levels up with transposed convolutions, and skip connections between them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = self.block(3, 16, 1), self.block(16, 32, 2), self.block(32, 64, 2)
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.join2, self.join1, self.out = self.block(64, 32, 1), self.block(32, 16, 1), nn.Conv2d(16, 2, 1)

    @staticmethod
    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        a = self.one(x)
        b = self.two(a)
        c = self.join2(torch.cat([b, self.up2(self.three(b))], 1))
        outputs: Tensor = self.out(self.join1(torch.cat([a, self.up1(c)], 1)))
        return outputs


def hugging_face(kind: str, config: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(transformers, kind)(getattr(transformers, config)(**options))


def language() -> Iterator[tuple[str, Callable[[], nn.Module], Any]]:
    seq2seq = WORDS | {"decoder_input_ids": torch.arange(10).view(2, 5)}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    yield "bert", hugging_face("BertForSequenceClassification", "BertConfig", **SMALL), WORDS
    yield "roberta", hugging_face("RobertaForMaskedLM", "RobertaConfig", **SMALL), WORDS
    yield "albert", hugging_face("AlbertForMaskedLM", "AlbertConfig", **SMALL, embedding_size=32), WORDS
    yield (
        "distilbert",
        hugging_face("DistilBertForMaskedLM", "DistilBertConfig", dim=64, n_layers=2, n_heads=4, hidden_dim=96),
        WORDS,
    )
    yield (
        "gpt2",
        hugging_face("GPT2LMHeadModel", "GPT2Config", n_embd=64, n_layer=2, n_head=4, vocab_size=100, **ends),
        WORDS,
    )
    yield "llama", hugging_face("LlamaForCausalLM", "LlamaConfig", **SMALL, num_key_value_heads=2), WORDS
    yield "qwen2", hugging_face("Qwen2ForCausalLM", "Qwen2Config", **SMALL, num_key_value_heads=2, **ends), WORDS
    yield (
        "mixtral (experts)",
        hugging_face("MixtralForCausalLM", "MixtralConfig", **SMALL, num_key_value_heads=2, num_local_experts=3),
        WORDS,
    )
    t5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": 100}
    yield "t5", hugging_face("T5ForConditionalGeneration", "T5Config", **t5, decoder_start_token_id=0), seq2seq
    bart = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
    yield (
        "bart",
        hugging_face("BartForConditionalGeneration", "BartConfig", **bart, vocab_size=100, **ends, pad_token_id=1),
        seq2seq,
    )


def other_hugging_face() -> Iterator[tuple[str, Callable[[], nn.Module], Any]]:
    vision = {key: SMALL[key] for key in SMALL if key not in ("vocab_size", "max_position_embeddings")}
    pixels = {"pixel_values": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))}
    yield "vit", hugging_face("ViTForImageClassification", "ViTConfig", **vision, image_size=32, patch_size=8), pixels

    def whisper() -> nn.Module:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config: dict[str, Any] = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4}
        config |= {"encoder_ffn_dim": 96, "num_mel_bins": 16, "max_source_positions": 20}
        return WhisperEncoder(transformers.WhisperConfig(**config))

    yield "whisper encoder", whisper, {"input_features": torch.randn(2, 16, 40)}
    audio: dict[str, Any] = {"conv_dim": (32, 32), "conv_stride": (5, 2), "conv_kernel": (10, 3)}
    audio |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    sizes = {key: SMALL[key] for key in SMALL if key not in ("vocab_size", "max_position_embeddings")}
    yield (
        "wav2vec2 (weight norm)",
        hugging_face("Wav2Vec2Model", "Wav2Vec2Config", **sizes, **audio),
        {"input_values": torch.randn(2, 1600)},
    )


def networks() -> Iterator[tuple[str, str, Callable[[], nn.Module], Any]]:
    """Yield (library, name, a function that makes the network, its inputs)."""
    for size, names in TORCHVISION.items():
        for name in names.split():
            more = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
            images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
            yield "torchvision", name, partial(torchvision.models.get_model, name, weights=None, **more), images
    parts = {"weights": None, "weights_backbone": None}
    scene = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    yield "torchvision", "fcn_resnet50", lambda: torchvision.models.segmentation.fcn_resnet50(**parts), scene
    yield (
        "torchvision",
        "deeplabv3_mobilenet",
        lambda: torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(**parts),
        scene,
    )
    yield (
        "torchvision",
        "r3d_18 (video)",
        lambda: torchvision.models.video.r3d_18(weights=None),
        torch.randn(1, 3, 4, 32, 32),
    )
    for size, names in TIMM.items():
        for name in names.split():
            images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
            yield "timm", name, partial(timm.create_model, name, pretrained=False), images
    for name, make, inputs in [*language(), *other_hugging_face()]:
        yield "transformers", name, make, inputs
    yield "torch", "LSTM tagger", lambda: Tagger(nn.LSTM), WORDS
    yield "torch", "GRU tagger", lambda: Tagger(nn.GRU), WORDS
    yield "torch", "U-Net", UNet, scene
    layer: dict[str, Any] = {"d_model": 64, "nhead": 4, "dim_feedforward": 96, "batch_first": True}
    yield (
        "torch",
        "TransformerEncoder",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(**layer), 2),
        torch.randn(2, 7, 64),
    )
