"""The same network in other words: the same chip, the same share, the same counts, the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof.evaluation import FoldedNetwork, Metric, TilesNetwork

X = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(16) % 4
LAYER = nn.Linear(12, 10, bias=False)

Form = Callable[[Tensor, Tensor], Tensor]
FORMS: dict[str, Form] = {
    "F.linear": F.linear,
    "x @ W.T": lambda x, w: x @ w.T,
    "W @ x": lambda x, w: (w @ x.T).T,
    "einsum": lambda x, w: torch.einsum("ni,oi->no", x, w),
    "bmm": lambda x, w: torch.bmm(x[:, None], w.t().expand(len(x), -1, -1))[:, 0],
    "bmm from the left": lambda x, w: torch.bmm(w.expand(len(x), -1, -1), x[..., None])[..., 0],
    "one batch": lambda x, w: torch.bmm(x[None], w.t()[None])[0],
    "einsum, turned": lambda x, w: torch.einsum("oi,ni->on", w, x).T,
    "matmul with columns": lambda x, w: torch.matmul(w, x[..., None])[..., 0],
    "mm": lambda x, w: torch.mm(w, x.t()).t(),
    "addmm": lambda x, w: torch.addmm(x.new_zeros(10, 1), w, x.t()).t(),
    "baddbmm": lambda x, w: torch.baddbmm(x.new_zeros(1), x[None], w.t()[None])[0],
    "tensordot": lambda x, w: torch.tensordot(x, w, dims=([1], [1])),
    "inner": torch.inner,
    "multi_dot": lambda x, w: torch.linalg.multi_dot([x, w.t()]),
    "F.linear of the weight": lambda x, w: F.linear(w, x).T,
    "vmap": lambda x, w: torch.vmap(lambda row: w @ row)(x),
    "vmap of F.linear": lambda x, w: torch.vmap(lambda row: F.linear(row, w))(x),
    "convolution": lambda x, w: F.conv2d(x[:, :, None, None], w[:, :, None, None]).flatten(1),
    "functional_call": lambda x, w: torch.func.functional_call(LAYER, {"weight": w}, (x,)),
}
PARTS: dict[str, Form] = {
    "two halves of the outputs": lambda x, w: torch.cat([x @ w[:5].T, F.linear(x, w[5:])], 1),
    "two halves of the inputs": lambda x, w: x[:, :6] @ w[:, :6].T + (w[:, 6:] @ x[:, 6:].T).T,
    "every second input": lambda x, w: F.linear(x[:, ::2], w[:, ::2]) + F.linear(x[:, 1::2], w[:, 1::2]),
    "every second output": lambda x, w: torch.stack([x @ w[::2].T, x @ w[1::2].T], -1).flatten(1),
}


class Net(nn.Module):
    """A weight that a function multiplies by, and a head."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = nn.Linear(12, 10, bias=False), nn.Linear(10, 4, bias=False)
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.form(x, self.layer.weight)))  # type: ignore[no-any-return]


def network(form: Form) -> Net:
    return Net(form).eval()


def first(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs[:, 0]


OUTPUT = Metric.of(lambda outputs, targets: float(outputs.mean()), name="output", per_sample=first)


def outputs(form: Form, backend: Any, device: str, periphery: str) -> list[Any]:
    """The first output of every sample, on each chip."""
    record = dp.evaluate(
        network(form),
        (X, Y),
        presets=device,
        times="1d",
        chips=2,
        backend=backend,
        metric=OUTPUT,
        periphery=periphery,
        calibration=None if periphery == "ideal" else (X, Y),
        progress=False,
    )
    return [outcome.per_sample for _, outcome, _ in record.outcomes()]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_the_same_chip_and_the_same_counts(form: str) -> None:
    ones, others = (dp.map_model(network(f), example=X, all_analog=True) for f in (FORMS["F.linear"], FORMS[form]))
    assert others.analog_macs == ones.analog_macs == 1
    assert others.layers == ones.layers
    chips = [dp.Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=3, chip=1) for mapping in (ones, others)]
    assert torch.equal(chips[0].weight("layer", 86400.0), chips[1].weight("layer", 86400.0))


CONDITIONS = [("pcm-nandakumar-2019", "ideal"), ("gaussian:0.1", "standard"), ("sonos-agrawal-2022", "ideal")]
"""SONOS has noise that is new in every MVM; the standard periphery has converters and output noise."""
SAME_RESULTS = [(form, *condition) for form in FORMS for condition in CONDITIONS]
# two MVMs instead of one have other noise, and are converted twice
SAME_RESULTS += [(form, *CONDITIONS[0]) for form in PARTS]


@pytest.mark.parametrize(("form", "device", "periphery"), SAME_RESULTS)
@pytest.mark.parametrize("backend", ["folded", "tiles"])
def test_each_form_has_the_same_results(form: str, backend: str, device: str, periphery: str) -> None:
    wanted = outputs(FORMS["F.linear"], backend, device, periphery)
    for got, expected in zip(outputs((FORMS | PARTS)[form], backend, device, periphery), wanted, strict=True):
        gaps = np.abs(got - expected) / np.abs(expected).max()
        # a rounded sum at a code's edge may fall on either side, seldom, and by one code
        assert (gaps <= 1e-5).mean() >= (0.9 if periphery == "standard" else 1)
        assert gaps.max() < 0.05


@pytest.mark.parametrize("form", [*FORMS, *PARTS])
def test_each_form_is_trained_alike(form: str) -> None:
    def trained(function: Form) -> Tensor:
        net, method = Net(function), dp.RWP(noise="gaussian:0.1")
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            method.step(lambda: F.cross_entropy(net(X), Y), net, optimizer)
        return net.layer.weight.detach()

    torch.testing.assert_close(trained((FORMS | PARTS)[form]), trained(FORMS["F.linear"]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", PARTS)
def test_parts_of_a_weight_count_as_the_whole(form: str) -> None:
    mapping = dp.map_model(network(PARTS[form]), example=X, all_analog=True)
    assert {entry.name: entry.macs_per_input for entry in mapping.layers} == {"layer": 120, "head": 40}


def test_a_weight_that_is_stored_transposed_has_the_same_chip() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(network(F.linear).layer.weight.detach().t().clone())

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    class Straight(Turned):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(self.weight.detach().t().clone())

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.t()

    chips = [
        dp.Chip(dp.map_model(net, example=X), dp.load_preset("reram-wan-2022"), seed=0, chip=0)
        for net in (Turned().eval(), Straight().eval())
    ]
    assert torch.equal(chips[0].weight("", 1.0).t(), chips[1].weight("", 1.0))


def test_an_ensemble_under_vmap_is_one_array_of_all_matrices() -> None:
    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.weights = nn.Parameter(torch.randn(3, 12, 4))

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = torch.vmap(lambda w: x @ w)(self.weights)
            return outputs.mean(0)

    net = Ensemble().eval()
    mapping = dp.map_model(net, example=X, all_analog=True)
    assert (mapping.analog_macs, mapping.layers[0].macs_per_input) == (1, 3 * 48)
    chip = dp.program(dp.convert(net, "ideal", example=X)).drift("1s")
    torch.testing.assert_close(chip.model(X), net(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transposed", [False, True])
def test_slices_of_a_convolution_are_its_array(transposed: bool) -> None:
    class Slim(nn.Module):
        """As a slimmable network: some of the channels."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.ConvTranspose2d(6, 8, 3) if transposed else nn.Conv2d(6, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            w = self.conv.weight
            if transposed:
                return F.conv_transpose2d(x[:, :4], w[:4, :5])
            return F.conv2d(x[:, 1:5], w[:5, 1:5])

    net, x = Slim().eval(), torch.randn(3, 6, 7, 7)
    mapping = dp.map_model(net, example=x, all_analog=True)
    assert mapping.layers[0].analog
    chip = dp.Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0, compensation="none")
    for backend in (FoldedNetwork(net, mapping, x), TilesNetwork(net, mapping)):
        backend.load(chip, 0.0)
        torch.testing.assert_close(backend(x), net(x), rtol=1e-4, atol=1e-5)
