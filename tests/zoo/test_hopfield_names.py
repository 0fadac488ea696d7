"""Hopfield networks by name: every key reaches the network, and a wrong one is loud."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof.energy import HopfieldNetwork, hopfield_dense
from driftproof.zoo import load_model, save_weights


def network(spec: str) -> HopfieldNetwork:
    model = load_model(spec).model
    assert isinstance(model, HopfieldNetwork)
    return model


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        ("hopfield-dense", [(1024,), (10,)]),
        ("hopfield-dense:64-128-10", [(128,), (10,)]),
        ("hopfield-dense:sizes=64-32-16-10", [(32,), (16,), (10,)]),
        ("dchn", [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2), (10,)]),
        ("dchn:widths=4-8,image=1x8,classes=3,pool=average", [(4, 4, 4), (8, 2, 2), (3,)]),
        ("dchn:4-8,image=1x8", [(4, 4, 4), (8, 2, 2), (10,)]),
    ],
)
def test_sizes(spec: str, shapes: list[tuple[int, ...]]) -> None:
    loaded = load_model(spec)
    assert (loaded.name, loaded.trained, loaded.model.training) == (spec, False, False)
    assert network(spec).shapes == shapes


def test_settings_of_the_relaxation() -> None:
    made = network("hopfield-dense:6-8-3,iterations=15,tolerance=1e-4,order=synchronous,backpropagated=7")
    assert (made.schedule.iterations, made.schedule.tolerance) == (15, 1e-4)
    assert (made.schedule.order, made.backpropagated) == ("synchronous", 7)
    plain, named = hopfield_dense([6, 8, 3]), network("hopfield-dense:6-8-3")
    assert (named.schedule, named.backpropagated) == (plain.schedule, plain.backpropagated)
    assert network("dchn:4,image=1x8,pool=average").edge(0).pool == "average"


def test_gains() -> None:
    """The weights of an edge are uniform in ± gain / √fan-in: 4,096 of them come within 1 % of it (miss: e^-41)."""
    for text, gains in (("0.7", (0.7, 0.7)), ("0.4-0.6", (0.4, 0.6))):
        made = network(f"hopfield-dense:64-64-64,gain={text}")
        for number, gain in enumerate(gains):
            largest = float(made.edge(number).weight.detach().abs().max()) * 8
            assert 0.99 * gain < largest <= gain


def test_weights_are_saved_and_loaded(tmp_path: Path) -> None:
    spec = "hopfield-dense:6-8-3,iterations=15"
    made = network(spec)
    save_weights(made, tmp_path / "w.safetensors")
    loaded = load_model(spec, tmp_path / "w.safetensors")
    assert loaded.trained
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded.model(x), made(x))
    with pytest.raises(DriftproofError, match=r"edges\.0\.weight \(file \[8, 6\], model \[9, 6\]\)"):
        load_model("hopfield-dense:6-9-3", tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hopfield-dens:6-8-3", r"unknown model .*did you mean hopfield-dense\?"),
        ("dchm:widths=4", r"did you mean dchn\?.*wanted one of: .*dchn:KEY=VALUE"),
        ("hopfield-dense:6-8-3,iteration=15", r"did you mean iterations\?\); the keys are sizes, gain, iterations"),
        ("hopfield-dense:6-8-3,sizes=6-3", r"each key once, got 'sizes=6-3'"),
        ("hopfield-dense:iterations=15,6-8-3", r"wanted KEY=VALUE with each key once, got '6-8-3'"),
        ("hopfield-dense:", r"sizes: wanted whole numbers with - between them, such as 64-128-10, got ''"),
        ("hopfield-dense:6", r"model 'hopfield-dense:6': sizes \[6\]: wanted those of input and output"),
        ("hopfield-dense:6-3,iterations=1.5", r"iterations: wanted a whole number, got '1.5'"),
        ("hopfield-dense:6-3,iterations=0", r"wanted at least one iteration"),
        ("hopfield-dense:6-3,gain=a", r"gain: wanted a number, or one for each edge .*, got 'a'"),
        ("hopfield-dense:6-3,gain=0.1-0.2", r"gains \[0.1, 0.2\]: wanted one for all, or one for each of 1 edges"),
        ("hopfield-dense:6-3,order=sync", r"order 'sync': there are asynchronous, synchronous"),
        ("dchn:4,image=32", r"image: wanted CHANNELSxSIZE, such as 1x32, got '32'"),
        ("dchn:4-4-4,image=1x4", r"3 poolings of 2 x 2 need a size that is a multiple of 8"),
        ("dchn:4,pool=mean", r"pool 'mean'"),
    ],
)  # fmt: skip
def test_names_that_fail(spec: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_model(spec)


def test_a_gain_in_scientific_notation_is_one_number() -> None:
    torch.manual_seed(0)
    small = network("hopfield-dense:6-8-3,gain=1e-1")
    torch.manual_seed(0)
    assert torch.equal(small.edge(0).weight, hopfield_dense([6, 8, 3], gain=0.1).edge(0).weight)


@pytest.mark.parametrize(("spec", "shape"), [("hopfield-dense:6-8-3", (6,)), ("dchn:4,image=1x8", (1, 8, 8))])
def test_a_network_knows_the_shape_of_its_inputs(spec: str, shape: tuple[int, ...]) -> None:
    made = network(spec)
    assert made.input_shape == shape
    assert made(torch.rand(2, *shape)).shape == (2, made.shapes[-1][0])
