"""What goes on tiles, how it is cut and scaled, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from driftproof._calls import Layout
from driftproof._errors import DriftproofError
from driftproof._mapping import Scale, TileSize, Where, map_model, map_weight, plain_copy, split_sizes, unwrap


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
    assert torch.unique(weight[:, :3]).tolist() == [1.0]
    assert torch.unique(weight[:2, 3:]).tolist() == [1.0]
    assert torch.unique(weight[2:, 3:]).tolist() == [2.0]


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
    with pytest.raises(DriftproofError, match=r"layer fc: 1 of 4 .*NaN or infinite"):
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
    assert {name for name, entry in entries.items() if entry.analog} == {
        *("conv1", "conv2", "conv3", "fc", "grouped", "reflect", "up", "tied", "lazy"),
        *("attention.in_proj_weight", "attention.out_proj"),
    }
    assert all(entry.reason for entry in entries.values() if not entry.analog)
    for name, word in {
        "norm": "normalisation",
        "table": "digital copy of the tied weight",
        "act": "1 number that act one by one",
        "scale": "3 numbers that act one by one",
    }.items():
        assert word in entries[name].reason, name


def test_one_layer_under_two_names_is_one_array() -> None:
    fc = nn.Linear(3, 3)
    model = nn.Sequential(fc, nn.ReLU(), fc, nn.Linear(3, 2))
    entries = map_model(model, example=torch.ones(1, 3)).layers
    assert [(entry.name, entry.analog, entry.mvms_per_input) for entry in entries] == [("0", True, 2), ("3", True, 1)]


def test_a_weight_of_two_layers_is_one_array() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    mapping = map_model(model, example=torch.ones(2, 3))
    assert list(mapping.weights) == ["0"]
    assert [(entry.name, entry.tiles, entry.weights, entry.reason) for entry in mapping.layers] == [
        ("0", 1, 9, ""),
        ("1", 0, 0, "the same array as 0"),
    ]
    assert mapping.layers[0].mvms_per_input == 2


class Swin(nn.Module):
    """A parent that reads its child's weight, and a child whose weight is multiplied in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.odd, self.both = nn.Linear(3, 9), nn.Linear(9, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.linear(x, self.qkv.weight, self.qkv.bias)
        y = nn.functional.linear(y, self.odd.weight * y.mean())
        return nn.functional.linear(y @ self.both.weight, self.both.weight)


def test_a_weight_is_known_by_what_is_done_with_it() -> None:
    entries = {entry.name: entry for entry in map_model(Swin(), example=torch.ones(2, 5, 3)).layers}
    assert (entries["qkv"].analog, entries["qkv"].mvms_per_input) == (True, 5)
    assert "goes through mul" in entries["odd"].reason
    assert (entries["both"].analog, entries["both"].mvms_per_input) == (True, 10)
    assert [entry.name for entry in entries.values() if entry.unasked] == ["(made of inputs)"]
    with pytest.raises(DriftproofError, match=r"all_analog: 1 weight .*\(made of inputs\)"):
        map_model(Swin(), example=torch.ones(2, 5, 3), all_analog=True)


class Standardised(nn.Linear):
    """A subclass with a forward of its own, that torch's other layers know nothing of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(2 * x, self.weight, self.bias)


def test_a_subclass_is_converted_once_it_is_watched() -> None:
    model = nn.Sequential(Standardised(3, 2), nn.Linear(2, 2))
    blind = map_model(model).layers
    assert [entry.analog for entry in blind] == [False, True]
    assert "give example inputs" in blind[0].reason
    assert blind[0].unasked
    assert [entry.analog for entry in map_model(model, example=torch.ones(1, 3)).layers] == [True, True]


def test_torchscript_is_said_by_name() -> None:
    model = nn.Sequential(torch.jit.script(nn.Linear(3, 3)), nn.Linear(3, 2))
    entries = map_model(model, example=torch.ones(1, 3)).layers
    assert "TorchScript" in entries[0].reason
    assert entries[1].analog


def test_nothing_to_convert_is_an_error_that_lists_what_was_seen() -> None:
    with pytest.raises(DriftproofError, match=r"tiles.*0 \(Embedding\): .*look-up.*1 \(LayerNorm\): .*normalisation"):
        map_model(nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4)))
    with pytest.raises(DriftproofError, match=r"no layer .*weights"):
        map_model(nn.ReLU())


class Twice(nn.Module):
    """A convolution, and a linear layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.again = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Linear(32, 7), nn.Linear(7, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.again(self.again(self.fc(self.conv(x).flatten(1))))
        return outputs


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
    with pytest.raises(DriftproofError, match=r"does not take inputs float32 \[1, 3, 8, 8\]"):
        map_model(nn.Conv2d(1, 2, 3), example=torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_a_tile_has_at_least_one_device(size: tuple[int, int]) -> None:
    with pytest.raises(DriftproofError, match=f"tile size {size[0]}x{size[1]}.*at least 1"):
        TileSize(*size)


def test_wrappers_are_taken_off() -> None:
    inner = nn.Linear(3, 2)
    assert unwrap(nn.DataParallel(inner)) is inner
    compiled = torch.compile(inner)
    assert isinstance(compiled, nn.Module)
    assert unwrap(compiled) is inner
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


PRUNE: Callable[..., nn.Module] = prune.l1_unstructured
OLD_STYLE = [nn.utils.weight_norm, nn.utils.spectral_norm, lambda layer: PRUNE(layer, "weight", 0.5)]
NEW_STYLE = [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("made", [*OLD_STYLE, *NEW_STYLE])
def test_weights_that_are_made_at_every_call_are_mapped_as_they_are(made: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(made(nn.Linear(4, 4)), nn.Linear(4, 2)).eval()
    x = torch.randn(3, 4)
    wanted = model(x).detach()
    mapping = map_model(model, example=x)
    assert [entry.analog for entry in mapping.layers] == [True, True]
    copy = plain_copy(model)
    torch.testing.assert_close(
        mapping.weights["0"].weight(mapping.weights["0"].target), copy.get_parameter("0.weight").detach()
    )
    torch.testing.assert_close(copy(x), wanted)
    torch.testing.assert_close(model(x), wanted)  # the given network still makes its weight


def test_double_precision_by_default() -> None:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert map_weight("fc", torch.randn(2, 3)).target.dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_a_whole_layers_scale() -> None:
    mapped = map_weight("fc", torch.tensor([[1.0, -4.0], [0.5, 0.0], [0.0, 0.0]]), TileSize(1, 2)).layer_scaled()
    assert torch.unique(mapped.scale).tolist() == [4.0]
    assert mapped.target.tolist() == [[0.25, -1.0], [0.125, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("channels", "groups", "tile", "tiles"),
    [
        ((12, 12), 12, TileSize(), 1),  # 12 groups of 9 inputs
        ((600, 600), 600, TileSize(), 11),  # 56 groups of 9 rows fit 512
        ((64, 128), 2, TileSize(512, 512), 1),  # 2 x 288 rows do not fit: but one group does
        ((64, 128), 2, TileSize(100, 40), 12),  # 3 row splits, 2 column splits in each group
    ],
)
def test_groups_share_tiles_as_whole_blocks(channels: tuple[int, int], groups: int, tile: TileSize, tiles: int) -> None:
    weight = torch.randn(channels[1], channels[0] // groups, 3, 3)
    mapped = map_weight("conv", weight, tile, layout=Layout(groups=groups))
    inputs, width = mapped.target.shape[1], channels[1] // groups
    covered = torch.zeros(channels[1])
    for part in mapped.columns:
        covered[part] += 1
        inside = mapped.groups_of(part)
        assert part.stop - part.start <= tile.columns
        if len(inside) > 1:
            assert len(inside) * inputs <= tile.rows
            assert (part.start % width, part.stop % width) == (0, 0)
    assert bool((covered == 1).all())
    assert mapped.tiles == (tiles if (channels, groups, tile) != ((64, 128), 2, TileSize()) else 2)
    torch.testing.assert_close(mapped.weight(mapped.target), weight)


@pytest.mark.parametrize("shape", [(3, 5), (6, 4, 3), (6, 4, 3, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_inputs_first_is_the_transposed_matrix(shape: tuple[int, ...], groups: int) -> None:
    if len(shape) == 2 and groups == 2:
        pytest.skip("linear layers have no groups")
    weight = torch.randn(shape)
    layout = Layout(inputs_first=True, groups=groups)
    matrix = layout.matrix(weight)
    assert tuple(matrix.shape) == layout.size(shape)
    assert torch.equal(layout.weight(matrix, shape), weight)


def test_counts_of_a_layer() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2, bias=False), nn.Flatten(), nn.Linear(8 * 36, 10))
    first, last = map_model(model, TileSize(64, 8), example=torch.zeros(3, 4, 8, 8)).layers
    assert (first.rows, first.columns, first.groups, first.tiles) == (18, 8, 2, 1)
    assert (first.mvms_per_input, first.macs_per_input) == (2 * 36, 36 * 18 * 8)
    assert (first.dac_per_input, first.adc_per_input) == (36 * 2 * 18, 36 * 8)
    assert first.utilisation == 18 * 8 / (64 * 8)
    assert (last.tiles, last.mvms_per_input, last.macs_per_input) == (5 * 2, 1, 2880)
    assert (last.dac_per_input, last.adc_per_input) == (288 * 2, 10 * 5)


def test_clipping_takes_a_percentile_for_the_maximum() -> None:
    weight = torch.arange(1.0, 102.0).repeat(2, 1)
    weight[1] *= -2
    mapped = map_weight("fc", weight, clip=90)
    assert mapped.scale.tolist() == [[91.0, 182.0]]
    assert (float(mapped.target.max()), float(mapped.target.min()), mapped.clipped) == (1.0, -1.0, 20)
    assert torch.unique(map_weight("fc", weight, clip=90, scale="layer").scale).tolist() == [162.0]
    assert map_weight("fc", weight, clip=100).clipped == 0
    with pytest.raises(DriftproofError, match="percentile"):
        map_weight("fc", weight, clip=0)


def test_layers_are_chosen_by_name() -> None:
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)))

    def analog(where: Where) -> list[str]:
        entries = map_model(model, example=torch.ones(1, 3), where=where).layers
        assert all(e.reason == "digital as asked" and not e.unasked for e in entries if not e.analog)
        return [entry.name for entry in entries if entry.analog]

    assert analog("0,2") == ["0", "2"]
    assert analog("!0") == ["1", "2", "3"]
    assert analog("[12]") == analog("inner") == analog(lambda name, _: name in "12") == ["1", "2"]
    assert analog(["inner", "!1"]) == ["2"]
    with pytest.raises(DriftproofError, match=r"where: .*'7'.*there are"):
        analog("7")
    with pytest.raises(DriftproofError, match="nothing can go on tiles"):
        analog(lambda *_: False)


class Quantised(nn.Linear):
    """Makes another weight of its own at every call, from parameters and constants alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = self.weight.abs().max() / 3
        return nn.functional.linear(x, (self.weight / step).round() * step, self.bias)


def test_a_weight_that_code_makes_of_a_parameter_is_what_the_array_holds() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(Quantised(6, 4), nn.Linear(4, 2)), torch.ones(1, 6)
    mapping = map_model(model, example=x)
    assert [entry.analog for entry in mapping.layers] == [True, True]
    assert mapping.weights["0"].made
    target = mapping.weights["0"].weight(mapping.weights["0"].target)
    weight = model.get_parameter("0.weight").detach()
    step = weight.abs().max() / 3
    torch.testing.assert_close(target, (weight / step).round() * step)
    assert mapping.layers[0].macs_per_input == 24


def test_a_weight_that_changes_from_call_to_call_stays_digital() -> None:
    class Fading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(nn.functional.linear(x, self.w * 0.5), self.w * 0.25)

    with pytest.raises(DriftproofError, match="another weight each time"):
        map_model(Fading(), example=torch.ones(1, 3))


@pytest.mark.parametrize("scale", ["column", "layer"])
@pytest.mark.parametrize("clip", [None, 90.0])
def test_a_weight_with_other_numbers_is_mapped_as_if_for_the_first_time(scale: Scale, clip: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    first, then = (torch.randn(8, 3, 3, 3, generator=generator) for _ in range(2))
    then[3] = 0
    layout = Layout(groups=2)
    renewed = map_weight("conv", first, TileSize(16, 5), layout=layout, scale=scale, clip=clip).renewed(
        then, scale, clip
    )
    anew = map_weight("conv", then, TileSize(16, 5), layout=layout, scale=scale, clip=clip)
    assert torch.equal(renewed.target, anew.target)
    assert torch.equal(renewed.scale, anew.scale)
    assert (renewed.clipped, renewed.rows, renewed.columns) == (anew.clipped, anew.rows, anew.columns)
    then[0, 0, 0, 0] = torch.nan
    with pytest.raises(DriftproofError, match=r"1 of 216 .*NaN"):
        renewed.renewed(then, scale, clip)


class OneTable(nn.Module):
    """A look-up table whose weight its own code multiplies by, too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.fc(self.table(x)), self.table.weight)


def test_a_look_up_table_that_is_multiplied_by_is_no_silent_digital_product() -> None:
    ids = torch.arange(6)[None]
    mapping = map_model(OneTable(), example=ids)
    entries = {entry.name: entry for entry in mapping.layers}
    assert list(mapping.weights) == ["fc"]
    assert entries["table"].unasked
    assert "is multiplied by, too; give the product a layer of its own" in entries["table"].reason
    assert (entries["table"].macs_per_input, entries["fc"].macs_per_input) == (6 * 40, 6 * 16)
    assert mapping.analog_macs == pytest.approx(16 / 56)
    with pytest.raises(DriftproofError, match=r"all_analog: 1 weight .*table \(Embedding\)"):
        map_model(OneTable(), example=ids, all_analog=True)
