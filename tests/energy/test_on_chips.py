"""Hopfield networks on chips: feedback by the same array, a second one, or digital; and what they tell of it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import driftproof as dp
from driftproof._hopfield import HopfieldNetwork, Schedule, dchn, hopfield_dense
from driftproof._hopfield.energy import energy_of
from driftproof._hopfield.relaxation import FREE
from driftproof.data import TensorData
from driftproof.evaluation import Deployment, Evaluator, Trial
from driftproof.periphery import DynamicRange, load_periphery
from driftproof.periphery._settings import IRDrop

PCM = "pcm-nandakumar-2019"
YEAR = 365.25 * 86400


def dense() -> HopfieldNetwork:
    torch.manual_seed(0)
    return hopfield_dense([12, 16, 8, 5], iterations=20, gain=0.8).eval()


def convolutional() -> HopfieldNetwork:
    torch.manual_seed(1)
    return dchn([4, 6], image=(2, 8), classes=5, iterations=20, gain=0.8).eval()


NETWORKS = {"dense": dense, "convolutional": convolutional}


def images(network: HopfieldNetwork, number: int = 12) -> TensorData:
    torch.manual_seed(2)
    shape = (12,) if network.image is None else (2, 8, 8)
    return TensorData("random", torch.rand(number, *shape), torch.arange(number) % 5)


def first_inputs(network: HopfieldNetwork, number: int = 12) -> Tensor:
    inputs, _ = next(iter(images(network).batches(number)))
    assert isinstance(inputs, Tensor)
    return inputs


def outputs(network: HopfieldNetwork, deployment: Deployment, backend: str = "folded", t_s: float = YEAR) -> Tensor:
    """Return the outputs of chip 0 at a time."""
    evaluator = Evaluator(network, images(network), backend=backend)
    inputs, _ = next(iter(evaluator.data.batches(12)))
    with torch.no_grad():
        found: Tensor = evaluator.ready(deployment).become(Trial(deployment, 0, t_s)).outputs(inputs)
    return found


def told(network: HopfieldNetwork, trial: Trial, backend: str = "folded") -> dict[str, float]:
    """Return what the network tells of itself after a trial."""
    outcome = Evaluator(network, images(network), backend=backend)(trial)
    own = ("residual", "iterations", "energy", "symmetry_error")
    return {name: outcome.diagnostics[name] for name in own}


@pytest.mark.parametrize("feedback", ["same", "second", "digital"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_an_ideal_chip_relaxes_as_the_digital_network(make: Callable[[], HopfieldNetwork], feedback: str) -> None:
    network = make()
    with torch.no_grad():
        digital = network(first_inputs(network))
    network.set_feedback(feedback)  # type: ignore[arg-type]
    chip = outputs(network, Deployment(device="ideal"))
    torch.testing.assert_close(chip, digital, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("feedback", ["same", "second", "digital"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_both_backends_relax_alike(make: Callable[[], HopfieldNetwork], feedback: str) -> None:
    network = make().set_feedback(feedback)  # type: ignore[arg-type]
    deployment = Deployment(device=PCM)
    folded, tiles = (outputs(network, deployment, backend) for backend in ("folded", "tiles"))
    torch.testing.assert_close(folded, tiles, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(folded, outputs(network, Deployment(device="ideal")), atol=1e-3)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_the_chip_relaxes_with_its_effective_weights_in_both_directions(make: Callable[[], HopfieldNetwork]) -> None:
    network = make()
    deployment = Deployment(device=PCM, compensation="column")  # scales and compensation that differ between columns
    mapping = dp.map_model(network, example=first_inputs(network, 4))
    chip = dp.Chip(mapping, deployment.device, seed=0, chip=0, compensation="column")
    by_hand = copy.deepcopy(network)
    for name, mapped in mapping.weights.items():
        parameter = by_hand.get_submodule(mapped.path)._parameters[mapped.parameter]
        assert parameter is not None
        parameter.data.copy_(chip.weight(name, YEAR))
    with torch.no_grad():
        wanted = by_hand(first_inputs(network))
    torch.testing.assert_close(outputs(network, deployment), wanted, rtol=1e-4, atol=1e-5)


def test_fine_converters_of_both_directions_give_the_ideal_answer() -> None:
    # the arrays are really read, forward and transposed, through DAC and ADC: 16 bit change little, 4 bit much
    network = dense()

    def with_bits(bits: int) -> Tensor:
        made = load_periphery("standard").with_changes(
            name=f"{bits}-bit", dac_bits=bits, adc_bits=bits, input_range=DynamicRange(), output_noise=0.0
        )
        return outputs(network, Deployment(device=PCM, periphery=made))

    ideal = outputs(network, Deployment(device=PCM))
    errors = [float((with_bits(bits) - ideal).abs().max()) for bits in (16, 8, 4)]
    assert errors[0] < 2e-3 < errors[1] < errors[2]


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("device", [PCM, "reram-wan-2022"])
def test_the_energy_falls_on_a_chip_that_is_read_transposed(make: Callable[[], HopfieldNetwork], device: str) -> None:
    network = make()
    mapping = dp.map_model(network, example=first_inputs(network, 4))
    for number in range(3):
        chip = dp.Chip(mapping, dp.load_device(device), seed=0, chip=number)
        on_chip = copy.deepcopy(network).double()
        for name, mapped in mapping.weights.items():
            parameter = on_chip.get_submodule(mapped.path)._parameters[mapped.parameter]
            assert parameter is not None
            parameter.data.copy_(chip.weight(name, 86400.0))
        inputs = first_inputs(network).double()
        energies = _energies(on_chip, inputs)
        assert bool((energies.diff(dim=0) <= 1e-12).all())
        # with feedback by another array there is no energy: the same states, another weight back
        torch.manual_seed(3)
        on_chip.set_feedback("second")
        for edge in list(on_chip.edges)[1:]:
            edge.weight_back.data.mul_(-1)  # type: ignore[operator]
        assert not bool((_energies(on_chip, inputs).diff(dim=0) <= 1e-12).all())


@torch.no_grad()
def _energies(network: HopfieldNetwork, inputs: Tensor) -> Tensor:
    """Return the energy after each asynchronous step, [steps, N]."""
    states = network.start(network.placed(inputs))
    found = [energy_of(states)]
    for _ in range(6):
        for group in Schedule(iterations=1).groups(len(network.edges)):
            states.update(group, FREE)
            found.append(energy_of(states))
    return torch.stack(found)


def test_what_a_network_tells_of_itself_is_that_of_the_chip() -> None:
    network = dense()
    digital = told(network, Trial(None))
    assert digital["symmetry_error"] == 0
    assert digital["iterations"] == 20
    assert digital["residual"] < 1e-3
    chip = Trial(Deployment(device=PCM), 0, YEAR)
    same, second = told(network, chip), told(copy.deepcopy(network).set_feedback("second"), chip)
    assert same["symmetry_error"] == 0
    assert 0.05 < second["symmetry_error"] < 0.6
    assert same["energy"] != digital["energy"]
    assert told(copy.deepcopy(network).set_feedback("second"), chip, "tiles") == pytest.approx(second, rel=1e-3)
    # a trial tells of itself alone
    evaluator = Evaluator(network, images(network))
    first = evaluator(chip).diagnostics
    evaluator(Trial(Deployment(device=PCM), 1, YEAR))
    assert evaluator(chip).diagnostics == first


def test_the_symmetry_error_behind_converters_is_that_of_the_conductances() -> None:
    network = dense().set_feedback("second")
    made = load_periphery("standard").with_changes(name="dynamic", input_range=DynamicRange())
    ideal, converted = (
        told(network, Trial(Deployment(device=PCM, periphery=p), 0, YEAR))["symmetry_error"] for p in ("ideal", made)
    )
    assert converted == pytest.approx(ideal, rel=1e-5)


def test_a_digital_feedback_is_no_surprise_to_the_mapping() -> None:
    network = dense().set_feedback("digital")
    mapping = dp.map_model(network, example=torch.rand(4, 12), all_analog=True)
    reasons = {entry.name: entry.reason for entry in mapping.layers if not entry.analog}
    assert set(reasons) == {"edges.1.weight_back", "edges.2.weight_back"}
    assert all(reason.startswith("digital as the network wants it") for reason in reasons.values())


def test_an_array_has_the_forward_product_as_its_columns() -> None:
    mapping = dp.map_model(dense(), example=torch.rand(4, 12))
    assert {name: tuple(mapped.target.shape) for name, mapped in mapping.weights.items()} == {
        "edges.0": (16, 12),
        "edges.1": (8, 16),
        "edges.2": (5, 8),
    }
    assert [mapped.both_ways for mapped in mapping.weights.values()] == [False, True, True]


def test_what_cannot_be_read_transposed_is_refused() -> None:
    network = dense()
    wires = load_periphery("standard").with_changes(name="wires", ir_drop=IRDrop(), input_range=DynamicRange())
    with pytest.raises(dp.DriftproofError, match="IR drop, which is not modelled for transposed reads"):
        outputs(network, Deployment(device=PCM, periphery=wires), backend="tiles")
