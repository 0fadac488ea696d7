"""What goes on tiles, how it is cut and scaled, and what is said of the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from driftproof.errors import DriftproofError
from driftproof.mapping import TileSize, map_model, map_weight, split_sizes, unwrap


def test_tiles_are_cut_as_aihwkit_cuts_them() -> None:
    from aihwkit.simulator.tiles.array import TileModuleArray

    for size in (1, 5, 27, 512, 513, 576, 1000, 1025):
        for limit in (1, 16, 512):
            assert split_sizes(size, limit) == TileModuleArray.get_split_sizes(None, size, limit)


@pytest.mark.parametrize("tile", [TileSize(), TileSize(16, 5), TileSize(1, 1)])
def test_every_column_of_every_tile_uses_the_whole_range(tile: TileSize) -> None:
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    mapped = map_weight("conv", weight, tile)
    matrix = weight.reshape(8, -1)
    covered = torch.zeros(8, 27)
    for i, rows in enumerate(mapped.rows):
        assert rows.stop - rows.start <= tile.rows
        for columns in mapped.columns:
            assert columns.stop - columns.start <= tile.columns
            covered[columns, rows] += 1
            torch.testing.assert_close(mapped.scale[i, columns], matrix[columns, rows].abs().amax(1))
            assert float(mapped.target[columns, rows].abs().amax(1).min()) == 1.0
    assert bool((covered == 1).all())
    assert mapped.tiles == len(mapped.rows) * len(mapped.columns)
    torch.testing.assert_close(mapped.weight(mapped.target), weight, rtol=1e-6, atol=1e-7)


def test_a_factor_acts_on_its_own_tile() -> None:
    mapped = map_weight("fc", torch.ones(4, 6), TileSize(3, 2))
    factor = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0]])
    weight = mapped.weight(mapped.target, factor)
    assert weight[:, :3].unique().tolist() == [1.0]
    assert weight[:2, 3:].unique().tolist() == [1.0]
    assert weight[2:, 3:].unique().tolist() == [2.0]


def test_a_column_without_weights_has_scale_zero() -> None:
    mapped = map_weight("fc", torch.tensor([[0.0, 0.0], [1.0, -4.0]]))
    assert mapped.scale.tolist() == [[0.0, 4.0]]
    assert mapped.weight(torch.ones(2, 2)).tolist() == [[0.0, 0.0], [4.0, 4.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_and_layouts_of_weights(dtype: torch.dtype) -> None:
    weight = torch.randn(6, 4, 3, 3).to(dtype)
    plain = map_weight("conv", weight)
    strange = map_weight("conv", weight.contiguous(memory_format=torch.channels_last))
    assert plain.target.dtype == torch.float32
    assert plain.target.is_contiguous()
    assert torch.equal(plain.target, strange.target)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float) -> None:
    with pytest.raises(DriftproofError, match=r"layer fc: 1 of 4 weights are NaN or infinite"):
        map_weight("fc", torch.tensor([[1.0, bad], [0.0, 1.0]]))


class Zoo(nn.Module):
    """One of everything that carries weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(2, 3, 3)
        self.conv2 = nn.Conv2d(3, 4, 3)
        self.conv3 = nn.Conv3d(1, 2, 2)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.reflect = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(4, 2, 3)
        self.norm = nn.BatchNorm2d(4)
        self.table = nn.Embedding(10, 4)
        self.tied = nn.Linear(4, 10, bias=False)
        self.tied.weight = self.table.weight
        self.attention = nn.MultiheadAttention(4, 2)
        self.lazy = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.fc = nn.Linear(4, 5)
        self.act = nn.PReLU()
        self.scale = nn.Parameter(torch.ones(3))


def test_every_weight_bearing_layer_is_named_with_its_reason() -> None:
    entries = {entry.name: entry for entry in map_model(Zoo()).layers}
    assert {name for name, entry in entries.items() if entry.analog} == {"conv1", "conv2", "conv3", "fc"}
    assert all(entry.reason for entry in entries.values() if not entry.analog)
    for name, word in {
        "grouped": "groups = 2",
        "reflect": "reflect",
        "up": "ConvTranspose2d",
        "norm": "normalisation",
        "table": "look-up",
        "tied": "shared by",
        "attention": "MultiheadAttention",
        "attention.out_proj": "subclass of Linear",
        "lazy": "subclass of Linear",
        "act": "PReLU",
        "": "Zoo",
    }.items():
        assert word in entries[name].reason, name


def test_one_layer_under_two_names_is_not_converted_by_halves() -> None:
    fc = nn.Linear(3, 3)
    entries = map_model(nn.Sequential(fc, nn.ReLU(), fc, nn.Linear(3, 2))).layers
    assert [(entry.name, entry.analog) for entry in entries] == [("0", False), ("3", True)]
    assert "shared by 0, 2" in entries[0].reason


def test_layers_that_a_fast_path_reads_directly_stay_digital() -> None:
    encoder = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 2))
    analog = [entry.name for entry in map_model(encoder).layers if entry.analog]
    assert analog == ["1"]
    assert any("TransformerEncoderLayer" in entry.reason for entry in map_model(encoder).layers)


def test_nothing_to_convert_is_an_error_that_lists_what_was_seen() -> None:
    with pytest.raises(
        DriftproofError, match=r"nothing can go on tiles.*0 Embedding: a look-up.*1 LayerNorm: normalisation"
    ):
        map_model(nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4)))
    with pytest.raises(DriftproofError, match="no layer with weights"):
        map_model(nn.ReLU())


class Twice(nn.Module):
    """A convolution, and a linear layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.again = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Linear(32, 7), nn.Linear(7, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.again(self.fc(self.conv(x).flatten(1))))


def test_mvms_per_input_are_counted_over_all_calls() -> None:
    layers = map_model(Twice(), example=torch.zeros(5, 1, 8, 8)).layers
    assert [entry.mvms_per_input for entry in layers] == [16, 1, 2]
    sequence = map_model(nn.Linear(3, 2), example=torch.zeros(4, 11, 3)).layers
    assert sequence[0].mvms_per_input == 11
    assert map_model(nn.Linear(3, 2)).layers[0].mvms_per_input is None


def test_mapping_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2).eval(), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    map_model(model, example=torch.ones(2, 1, 5, 5))
    assert [module.training for module in model] == [True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_wrong_input_shape_is_explained() -> None:
    with pytest.raises(DriftproofError, match=r"does not take inputs of shape \(1, 3, 8, 8\)"):
        map_model(nn.Conv2d(1, 2, 3), example=torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_a_tile_has_at_least_one_device(size: tuple[int, int]) -> None:
    with pytest.raises(DriftproofError, match="tile size"):
        TileSize(*size)


def test_wrappers_are_taken_off() -> None:
    inner = nn.Linear(3, 2)
    assert unwrap(nn.DataParallel(inner)) is inner
    assert unwrap(torch.compile(inner)) is inner
    assert unwrap(inner) is inner


def test_wrappers_are_known_by_their_type() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(3, 2)

    own = Own()
    assert unwrap(own) is own
    assert [
        entry.name for entry in map_model(nn.Sequential(nn.DataParallel(nn.Linear(3, 3)), nn.Linear(3, 2))).layers
    ] == [
        "0",
        "1",
    ]


def test_a_layer_that_is_never_called_stays_digital() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_module("unused", None)
    model.add_module("aux", nn.Linear(9, 9))
    model.forward = lambda x: model[0](x)  # type: ignore[method-assign]
    entries = map_model(model, example=torch.zeros(1, 3)).layers
    assert [(entry.name, entry.analog) for entry in entries] == [("0", True), ("aux", False)]
    assert "does not call it" in entries[1].reason


def test_weights_that_are_made_anew_at_every_call_stay_digital() -> None:
    pruned = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    entries = map_model(nn.Sequential(pruned, nn.Linear(4, 2))).layers
    assert [(entry.name, entry.analog) for entry in entries] == [("0", False), ("1", True)]
    assert "pruning" in entries[0].reason


def test_double_precision_by_default() -> None:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert map_weight("fc", torch.randn(2, 3)).target.dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_a_whole_layers_scale() -> None:
    mapped = map_weight("fc", torch.tensor([[1.0, -4.0], [0.5, 0.0], [0.0, 0.0]]), TileSize(1, 2)).layer_scaled()
    assert mapped.scale.unique().tolist() == [4.0]
    assert mapped.target.tolist() == [[0.25, -1.0], [0.125, 0.0], [0.0, 0.0]]
