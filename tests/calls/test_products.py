"""Every product that torch's functions compute is seen, and taken apart into vectors and a matrix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof._calls import Dense, Interception, Located, Parameters, Product
from driftproof._calls.network import plain, plain_copy
from driftproof._calls.watch import matrices, watch
from driftproof._errors import DriftproofError


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, nn.utils.rnn.PackedSequence):
        return [value.data]
    return [tensor for part in value for tensor in flat(part)] if isinstance(value, list | tuple) else []


def taken_over(network: nn.Module, *inputs: Any) -> tuple[float, list[tuple[Located, Product]]]:
    """Run a network with all its products computed from vectors and matrices; return how far it is off, and them."""
    network.eval()
    seen = []

    def multiply(where: Located, product: Product, _: Callable[[], Tensor]) -> Tensor:
        seen.append((where, product))
        geometry = product.geometry
        matrix = product.weight if isinstance(geometry, Dense) else geometry.layout.matrix(product.weight)
        prepared = geometry.prepare(product.inputs)
        groups = geometry.layout.groups
        grouped = matrix.view(groups, -1, matrix.shape[1])
        slow = torch.einsum("...gi,goi->...go", geometry.vectors(prepared), grouped).flatten(-2)
        fast = geometry.times(prepared, matrix)
        torch.testing.assert_close(geometry.collect(slow), fast, rtol=1e-4, atol=1e-5)
        return product.add_bias(geometry.finish(fast, product.inputs))

    with torch.inference_mode():
        wanted = flat(network(*inputs))
        with Interception(lambda: Parameters(matrices(network)), multiply):
            found = flat(network(*inputs))
    assert [part.shape for part in found] == [part.shape for part in wanted]
    return max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)), seen


SEQUENCE = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
PACKED = nn.utils.rnn.pack_padded_sequence(SEQUENCE, [5, 3, 2], batch_first=True)
RECURRENT = [
    (lambda: nn.LSTM(6, 4, 2, batch_first=True, bidirectional=True), SEQUENCE, 8),
    (lambda: nn.LSTM(6, 4, 2, bidirectional=True, proj_size=2), SEQUENCE, 12),
    (lambda: nn.GRU(6, 4, 2, bidirectional=True, bias=False), SEQUENCE, 8),
    (lambda: nn.RNN(6, 4, nonlinearity="relu"), SEQUENCE, 2),
    (lambda: nn.RNN(6, 4), SEQUENCE[0], 2),
    (lambda: nn.LSTM(6, 4, 2, bidirectional=True), PACKED, 8),
    (lambda: nn.GRU(6, 4, 2, bidirectional=True), PACKED, 8),
    (lambda: nn.RNN(6, 4, 1, bidirectional=True), PACKED, 4),
    (lambda: nn.LSTMCell(6, 4), SEQUENCE[0], 2),
    (lambda: nn.GRUCell(6, 4, bias=False), SEQUENCE[0], 2),
    (lambda: nn.RNNCell(6, 4, nonlinearity="relu"), SEQUENCE[0], 2),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(("make", "inputs", "arrays"), RECURRENT)
def test_recurrent_layers(make: Callable[[], nn.Module], inputs: Any, arrays: int) -> None:
    torch.manual_seed(0)
    gap, seen = taken_over(make(), inputs)
    assert gap < 1e-6
    assert len({where.name for where, _ in seen}) == arrays


def test_a_given_start_of_a_recurrent_layer() -> None:
    torch.manual_seed(0)
    state = (torch.randn(1, 3, 4), torch.randn(1, 3, 4))
    assert taken_over(nn.LSTM(6, 4, batch_first=True), SEQUENCE, state)[0] < 1e-6
    assert taken_over(nn.GRU(6, 4, batch_first=True), SEQUENCE, state[0])[0] < 1e-6


ATTENTION = [
    (lambda: nn.MultiheadAttention(6, 2), (SEQUENCE, SEQUENCE, SEQUENCE)),
    (lambda: nn.MultiheadAttention(6, 2, batch_first=True), (SEQUENCE, SEQUENCE + 1, SEQUENCE + 1)),
    (lambda: nn.MultiheadAttention(6, 2, batch_first=True), (SEQUENCE, SEQUENCE + 1, SEQUENCE)),
    (lambda: nn.MultiheadAttention(6, 2, vdim=4, add_bias_kv=True), (SEQUENCE, SEQUENCE, SEQUENCE[..., :4])),
    (lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), (SEQUENCE,)),
    (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2), (SEQUENCE,)),
    (lambda: nn.Transformer(6, 2, 1, 1, 8, batch_first=True), (SEQUENCE, SEQUENCE + 1)),
]


@pytest.mark.parametrize(("make", "inputs"), ATTENTION)
def test_attention(make: Callable[[], nn.Module], inputs: tuple[Tensor, ...]) -> None:
    torch.manual_seed(0)
    network = make()
    gap, seen = taken_over(network, *inputs)
    assert gap < 2e-6
    skipped = {"bias_k", "bias_v"}
    assert {where.name for where, _ in seen} == {name for name, _ in matrices(network) if name not in skipped}


def test_attention_on_other_keys_uses_parts_of_one_array() -> None:
    _, seen = taken_over(nn.MultiheadAttention(6, 2, batch_first=True), SEQUENCE, SEQUENCE + 1, SEQUENCE)
    parts = [where.columns for where, _ in seen if where.name == "in_proj_weight"]
    assert parts == [slice(0, 6), slice(6, 12), slice(12, 18)]
    assert {product.sample_axis for where, product in seen if where.name == "in_proj_weight"} == {1}


CONVOLUTIONS = [
    {},
    {"groups": 2},
    {"stride": 2, "padding": 1, "dilation": 2},
    {"kernel_size": 4, "padding": "same", "dilation": 2},
    {"padding": 2, "padding_mode": "circular"},
]
TRANSPOSED = [
    {},
    {"groups": 2},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "padding": 2, "dilation": 2, "groups": 2, "output_padding": 2},
    {"padding": 2, "stride": 2},
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("size", [(11,), (11, 9), (9, 9, 10)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_convolutions(options: dict[str, Any], size: tuple[int, ...], batch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(size) - 1]
    assert taken_over(kind(4, 6, **{"kernel_size": 3, **options}), torch.randn(*batch, 4, *size))[0] < 1e-6


@pytest.mark.parametrize("options", TRANSPOSED, ids=str)
@pytest.mark.parametrize("size", [(7,), (5, 6), (5, 5, 4)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_transposed_convolutions(options: dict[str, Any], size: tuple[int, ...], batch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[len(size) - 1]
    assert taken_over(kind(4, 6, 3, **options), torch.randn(*batch, 4, *size))[0] < 2e-6


class Written(nn.Module):
    """Products as people write them by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(4, 4)) for _ in range(3))
        self.stack = nn.Parameter(torch.randn(3, 4, 4))
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.a
        x = torch.matmul(x, self.b.T)
        x = torch.addmm(self.bias, x, self.c)
        return F.linear(x, self.stack[1]) + torch.mm(x, self.stack[2])


def test_products_written_by_hand() -> None:
    torch.manual_seed(0)
    gap, seen = taken_over(Written(), torch.randn(5, 4))
    assert gap < 1e-5
    assert [(where.name, where.columns, where.transposed) for where, _ in seen] == [
        ("a", None, True),
        ("b", None, False),
        ("c", None, True),
        ("stack", slice(4, 8), False),
        ("stack", slice(8, 12), True),
    ]


def test_a_part_of_the_rows_is_a_product_of_the_array_that_drives_only_these() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(4, 6))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.w[:, :3])

    uses = watch(Half(), torch.ones(2, 3)).uses["w"]
    assert (uses.calls, uses.others, list(uses.vectors.values())) == (1, set(), [2 / 2])


def test_watching_counts_vectors_and_calls_and_leaves_no_hooks() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(2), nn.LSTM(36, 5))
    uses = watch(network, torch.ones(3, 4, 8, 8)).uses
    assert sum(uses["0.weight"].vectors.values()) == 3 * 36 * 2
    assert (uses["2.weight_ih_l0"].calls, list(uses["2.weight_ih_l0"].vectors.values())) == (1, [24])
    assert (uses["2.weight_hh_l0"].calls, list(uses["2.weight_hh_l0"].vectors.values())) == (3, [24])
    assert uses["2.weight_hh_l0"].modules == {"2"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_mixture_of_experts_takes_its_rows_expert_by_expert() -> None:
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("this torch has no grouped product")

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(3, 8, 16, dtype=torch.bfloat16))

        def forward(self, x: Tensor) -> Tensor:
            return torch._grouped_mm(x, self.w.transpose(-2, -1), offs=torch.tensor([2, 2, 7], dtype=torch.int32))

    torch.manual_seed(0)
    gap, seen = taken_over(Experts(), torch.randn(7, 16, dtype=torch.bfloat16))
    assert gap < 0.1  # bfloat16: 1/128 of outputs up to 12
    assert [where.columns for where, _ in seen] == [slice(0, 8), slice(16, 24)]


def test_plain_networks_are_not_copied_and_others_are() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    assert plain(network) is network
    assert plain(nn.DataParallel(network)) is not network
    compiled = torch.compile(nn.Linear(2, 2))
    assert isinstance(compiled, nn.Module)
    assert type(plain_copy(nn.Sequential(compiled)).get_submodule("0")) is nn.Linear


def test_a_network_that_cannot_be_copied_is_said() -> None:
    class Locked(nn.Linear):
        def __deepcopy__(self, memo: Any) -> None:
            raise TypeError("cannot pickle '_thread.lock' object")

    with pytest.raises(DriftproofError, match=r"Locked.* copied: TypeError.*lock"):
        plain_copy(Locked(2, 2))


def test_recurrent_dropout_in_training_mode_is_refused() -> None:
    network = nn.LSTM(6, 4, 2, dropout=0.5)
    with (
        pytest.raises(DriftproofError, match=r"dropout.*model\.eval"),
        Interception(lambda: Parameters(matrices(network)), lambda _, __, compute: compute()),
    ):
        network(SEQUENCE)


def test_watching_a_network_does_not_load_torchs_compiler() -> None:
    """It takes seconds to import, in every command."""
    code = "import sys, torch, driftproof as dp; dp.map_model(torch.nn.Linear(3, 2), example=torch.ones(4, 3))"
    code += "; print('torch._dynamo' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
