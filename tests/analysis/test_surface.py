"""The loss around trained weights: the plane of two chips' errors, its units, and how it is drawn."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.text import Text
from torch import nn
from torch.nn import functional as F

from driftproof._drawing import render
from driftproof._errors import DriftproofError
from driftproof.analysis import loss_surface
from driftproof.analysis._figures import draw_surface
from driftproof.analysis._fresh_key import fresh_key
from driftproof.analysis._surface import Surface, _across
from driftproof.data import TensorData, digits
from driftproof.training._noise import Key, as_noise
from driftproof.training._weights import AnalogWeights
from driftproof.zoo import trained_digits_cnn

SOME = digits().head(80)
IMAGES = SOME.inputs
assert isinstance(IMAGES, torch.Tensor)
ONE = IMAGES[:1]
MODEL = trained_digits_cnn()
PCM = "pcm-nandakumar-2019@1y"
HERMES = "pcm-hermes-1@1y"  # its chips have some of their error in common


@pytest.fixture(scope="module")
def found() -> Surface:
    return loss_surface(MODEL, SOME, HERMES, span=1.0, points=3, seed=3)


def chips(seed: int, noise: str = HERMES) -> list[dict[str, torch.Tensor]]:
    """The two chips themselves."""
    weights = AnalogWeights.of(MODEL, ONE)
    return [as_noise(noise).draw(weights, fresh_key(seed, number)) for number in range(2)]


def measured(values: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Loss and accuracy of a copy of the network with other weights."""
    network = copy.deepcopy(MODEL)
    for name, value in values.items():
        network.get_parameter(f"{name}.weight").data.copy_(value)
    with torch.no_grad():
        outputs = network(SOME.inputs)
    right = (outputs.argmax(dim=1) == SOME.targets).double().mean()
    return float(F.cross_entropy(outputs, SOME.targets)), 100 * float(right)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in AnalogWeights.of(model, ONE).parameters.items()}


def flat(values: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in values.values()])


# --- the plane ---


def test_the_middle_is_the_network_itself_and_one_to_the_right_is_chip_1(found: Surface) -> None:
    first, _ = chips(3)
    assert found.accuracy is not None
    assert (found.loss[1, 1], found.accuracy[1, 1]) == pytest.approx(measured({}), rel=1e-5)
    assert (found.loss[1, 2], found.accuracy[1, 2]) == pytest.approx(measured(first), rel=1e-4)
    mirrored = {name: 2 * w - first[name] for name, w in weights_of(MODEL).items()}
    assert (found.loss[1, 0], found.accuracy[1, 0]) == pytest.approx(measured(mirrored), rel=1e-4)
    assert found.axis.tolist() == [-1, 0, 1]


def test_rows_are_b_and_columns_are_a(found: Surface) -> None:
    w = flat(weights_of(MODEL))
    errors = [flat(chip) - w for chip in chips(3)]
    across = errors[1] - errors[0] * (errors[1] @ errors[0]) / (errors[0] @ errors[0])
    across *= errors[0].norm() / across.norm()
    sizes = [p.numel() for p in weights_of(MODEL).values()]
    for row, b in enumerate((-1.0, 0.0, 1.0)):
        for column, a in enumerate((-1.0, 0.0, 1.0)):
            parts = torch.split(w + a * errors[0] + b * across, sizes)
            values = {name: part.view_as(p) for (name, p), part in zip(weights_of(MODEL).items(), parts, strict=True)}
            assert found.loss[row, column] == pytest.approx(measured(values)[0], rel=1e-4)


def test_directions_are_perpendicular_and_as_long_and_lead_to_both_chips(found: Surface) -> None:
    w, both = weights_of(MODEL), chips(3)
    first, second = ({name: chip[name] - w[name] for name in w} for chip in both)
    across, cosine, ratio = _across(first, second, HERMES)
    d1, d2 = flat(first), flat(across)
    assert float(d1 @ d2) == pytest.approx(0, abs=1e-5 * float(d1 @ d1))
    assert float(d2.norm()) == pytest.approx(float(d1.norm()), rel=1e-5)
    assert found.chips[0] == (1, 0)
    a, b = found.chips[1]
    torch.testing.assert_close(a * d1 + b * d2, flat(second), atol=1e-5, rtol=1e-4)
    assert math.hypot(a, b) == pytest.approx(ratio)
    assert found.cosine == cosine
    assert 0.2 < cosine < 0.6
    assert found.error == pytest.approx(float(d1.norm() / flat(w).norm()), rel=1e-5)


def test_chips_of_chance_alone_have_nothing_in_common() -> None:
    made = loss_surface(MODEL, SOME.head(5), "gaussian:0.1", points=3)
    assert abs(made.cosine) < 0.03
    assert math.hypot(*made.chips[1]) == pytest.approx(1, abs=0.03)


def test_the_chips_are_none_that_training_or_an_evaluation_has(monkeypatch: pytest.MonkeyPatch) -> None:
    law = as_noise(PCM)
    keys: list[Key] = []
    draw = type(law).draw

    def recorded(self: Any, weights: AnalogWeights, key: Key) -> Any:
        keys.append(key)
        return draw(self, weights, key)

    monkeypatch.setattr(type(law), "draw", recorded)
    loss_surface(MODEL, SOME.head(5), law, points=3, seed=7)
    assert [key.seed for key in keys] == [7, 7]
    assert len({key.number for key in keys}) == 2
    assert all(key.number >= 1 << 62 and key.chip_seed < 0 for key in keys)


# --- what is measured ---


def test_the_network_is_as_before_bit_for_bit() -> None:
    model = copy.deepcopy(MODEL).train()
    model.bn2.eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    loss_surface(model, SOME.head(20), PCM, points=3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (model.training, model.bn1.training, model.bn2.training) == (True, True, False)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_the_network_is_as_before_when_its_loss_fails() -> None:
    model, calls = copy.deepcopy(MODEL), []

    def failing(returned: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no more")
        return F.cross_entropy(returned, targets)

    with pytest.raises(RuntimeError, match="no more"):
        loss_surface(model, SOME.head(20), PCM, points=3, loss=failing)
    assert all(torch.equal(value, MODEL.state_dict()[name]) for name, value in model.state_dict().items())


def test_neither_batches_nor_the_mode_of_the_network_matter(found: Surface) -> None:
    again = loss_surface(copy.deepcopy(MODEL).train(), SOME, HERMES, span=1.0, points=3, seed=3, batch_size=33)
    np.testing.assert_allclose(again.loss, found.loss, rtol=1e-5)
    np.testing.assert_array_equal(again.accuracy, found.accuracy)


def test_a_network_for_numbers_has_a_loss_and_no_accuracy() -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(4, 3), torch.rand(20, 4)
    with torch.no_grad():
        data = TensorData("numbers", x, net(x))
    made = loss_surface(net, data, "gaussian:0.1", points=5, loss="mse")
    assert made.accuracy is None
    assert made.loss[2, 2] == pytest.approx(0, abs=1e-12)
    # of a linear network the squared error is a quadratic form: the same at both ends of every line through w
    np.testing.assert_allclose(made.loss, made.loss[::-1, ::-1], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(made.loss[2, 4], 4 * made.loss[2, 3], rtol=1e-4)
    assert list(made.table()) == ["a", "b", "loss"]
    assert render(draw_surface, made)[1].startswith(b"\x89PNG")


def test_the_table_has_every_place(found: Surface) -> None:
    table = found.table()
    assert len(table) == 9
    assert found.accuracy is not None
    for row in table.itertuples():
        b, a = found.axis.tolist().index(row.b), found.axis.tolist().index(row.a)
        assert (row.loss, row.accuracy) == (found.loss[b, a], found.accuracy[b, a])


@pytest.mark.parametrize(
    ("noise", "more", "message"),
    [
        ("ideal", {}, "a chip has no error"),
        ("levels:15", {}, "two chips have the same error"),
        (PCM, {"points": 4}, "points 4: wanted an odd number"),
        (PCM, {"points": 1}, "points 1: wanted an odd number"),
        (PCM, {"span": 0.0}, r"span 0\.0: wanted a length above 0"),
        (PCM, {"span": math.nan}, "span nan: wanted"),
        (PCM, {"loss": "cross"}, "loss 'cross'"),
        ("pcm-nandakumar-2019", {}, "say when"),
    ],
)
def test_what_gives_no_plane_is_refused(noise: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        loss_surface(MODEL, SOME.head(5), noise, **({"points": 3} | more))


# --- the figure ---


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_the_figure_marks_the_weights_both_chips_and_the_ring(found: Surface) -> None:
    figure = draw_surface(found)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        lines = [np.asarray(line.get_xydata()) for line in axes.lines]
        dots = [(float(points[0, 0]), float(points[0, 1])) for points in lines if len(points) == 1]
        assert dots == [(0, 0), *found.chips]
        rings = [patch for patch in axes.patches if isinstance(patch, Circle)]
        assert [(ring.center, ring.radius) for ring in rings] == [((0, 0), 1)]
        assert axes.get_xlim() == axes.get_ylim() == (-1, 1)
        assert axes.get_aspect() == 1
    shown = texts(figure)
    for said in ("loss", "accuracy in %", "trained", "chip 1", "chip 2", HERMES, "80 samples", "digits"):
        assert said in shown
    assert f"{100 * found.error:.1f} % of the weights' norm" in shown
    assert f"errors {found.cosine:.2f}" in shown


def test_darker_is_worse_in_both_maps() -> None:
    made = loss_surface(MODEL, SOME, HERMES, span=3.0, points=5)
    for axes, good in zip(draw_surface(made).axes, (0, -1), strict=True):
        bands = np.asarray(axes.collections[0].get_facecolor())
        assert bands[good].tolist() == [1, 1, 1, 1]
        light = bands[:, :3].sum(axis=1)
        assert (np.diff(light) < 0).all() if good == 0 else (np.diff(light) > 0).all()


@pytest.mark.parametrize(("n_samples", "last"), [(20, 70), (100, 95), (600, 99), (10_000, 99.9)])
def test_no_line_of_the_accuracy_follows_single_samples(found: Surface, n_samples: int, last: float) -> None:
    accuracy = np.linspace(5, 100, 9).reshape(3, 3)
    figure = draw_surface(dataclasses.replace(found, accuracy=accuracy, n_samples=n_samples))
    lines = figure.axes[1].collections[1]
    assert isinstance(lines, ContourSet)
    assert max(lines.levels) == last


def test_the_same_surface_gives_the_same_bytes(found: Surface) -> None:
    assert render(draw_surface, found) == render(draw_surface, found)


@pytest.mark.parametrize("loss", [np.full((3, 3), 0.5), np.full((3, 3), np.inf), np.zeros((3, 3))])
def test_a_map_without_a_line_is_drawn(found: Surface, loss: np.ndarray) -> None:
    flat_one = dataclasses.replace(found, loss=loss, accuracy=np.full((3, 3), 100.0))
    assert render(draw_surface, flat_one)[0].startswith(b"<?xml")


def test_where_the_network_overflows_there_is_no_shade(found: Surface) -> None:
    loss = found.loss.copy()
    loss[0, 0] = np.inf
    figure = draw_surface(dataclasses.replace(found, loss=loss))
    assert render(lambda _: figure, None)[1].startswith(b"\x89PNG")
