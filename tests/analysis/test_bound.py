"""The PAC-Bayes bound: its formulas against others' and brute force, how often it is wrong, what it is measured on."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn
from torch.distributions import Normal, kl_divergence

from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset
from driftproof.analysis import measure_bound, pac_bayes_bound
from driftproof.analysis._bound import Bound
from driftproof.analysis._divergence import binary_kl, gaussian_kl, kl_inverse
from driftproof.analysis._fresh_key import fresh_key
from driftproof.analysis._measured_bound import Normal as Weights
from driftproof.analysis._measured_bound import choice_nats, mixture_kl, normals, prior_shape
from driftproof.data import TensorData, digits
from driftproof.training import OnTiles
from driftproof.training._noise import Key, as_noise
from driftproof.training._weights import AnalogWeights
from driftproof.zoo import digits_cnn, trained_digits_cnn

SOME = digits("train").head(60)
IMAGES = SOME.inputs
assert isinstance(IMAGES, torch.Tensor)
ONE = IMAGES[:1]
MODEL = trained_digits_cnn()
ROUNDED = DevicePreset.model_validate(load_preset("gaussian:0.1").model_dump() | {"levels": {"count": 15}})


def bound(**changes: Any) -> Bound:
    given: dict[str, Any] = {
        "errors": [0.05, 0.1],
        "kl": {"fc": 20.0},
        "samples": 500,
        "classes": 10,
        "noise": "gaussian:0.1",
    }
    return pac_bayes_bound(**(given | changes))


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the formulas ---


def test_gaussian_kl_is_that_of_torch() -> None:
    mean, start = numbers(0, 7, 5), numbers(1, 7, 5)
    spread, before = numbers(2, 7, 5).abs() + 0.1, numbers(3, 7, 1).abs() + 0.1
    expected = kl_divergence(Normal(mean.double(), spread.double()), Normal(start.double(), before.double())).sum()
    assert gaussian_kl(mean, spread, start, before) == pytest.approx(float(expected), rel=1e-9)


def test_gaussian_kl_of_the_same_law_is_none_and_of_no_noise_is_infinite() -> None:
    mean, spread = numbers(0, 100, 100), numbers(1, 100, 100).abs() + 0.01
    assert gaussian_kl(mean, spread, mean, spread) == 0
    spread[3, 4] = 0
    assert gaussian_kl(mean, spread, mean, 1.0) == math.inf


@pytest.mark.parametrize("q", [0.0, 0.003, 0.2, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("nats", [0.0, 1e-4, 0.05, 0.7, 5.0])
def test_kl_inverse_is_the_last_of_a_fine_grid_and_never_below(q: float, nats: float) -> None:
    grid = np.linspace(q, 1, 200_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(q > 0, q * np.log(q / grid), 0.0)
        kl = first + np.where(q < 1, (1 - q) * np.log((1 - q) / (1 - grid)), 0.0)
    found = kl_inverse(q, nats)
    assert found == pytest.approx(grid[(kl <= nats + 1e-12) | (grid == q)].max(), abs=2e-5)
    assert found >= q
    if found < 1:
        assert binary_kl(q, found + 1e-9) > nats


def test_kl_inverse_at_its_ends() -> None:
    assert kl_inverse(0.0, 0.3) == pytest.approx(1 - math.exp(-0.3), abs=1e-12)
    assert kl_inverse(0.4, math.inf) == 1
    assert binary_kl(0.3, 0.0) == binary_kl(0.3, 1.0) == math.inf
    assert binary_kl(0.0, 0.0) == binary_kl(1.0, 1.0) == 0


def test_maurers_constant_holds_for_every_small_number_of_samples() -> None:
    for n in range(1, 300):
        k = np.arange(n + 1)
        assert binom.pmf(k, n, k / n).sum() <= 2 * math.sqrt(n) + 1e-9


def test_the_terms_are_put_together_as_the_formula_says() -> None:
    found = bound(errors=[0.05, 0.1, 0.15, 0.1], kl={"a": 12.0, "b": 8.0}, samples=400, delta=0.1)
    above = kl_inverse(0.1, math.log(2 / 0.05) / 4)
    complexity = (20 + math.log(2 * math.sqrt(400) / 0.05)) / 400
    assert found.error == pytest.approx(10)
    assert found.error_above == pytest.approx(100 * above)
    assert found.complexity == pytest.approx(complexity)
    assert found.kl_nats == 20
    assert found.kl_form == pytest.approx(100 * kl_inverse(above, complexity))
    assert found.sqrt_form == pytest.approx(min(100, 100 * (above + math.sqrt(complexity / 2))))
    assert bound(kl={}, samples=400, delta=0.1).complexity == pytest.approx(math.log(1 / 0.05) / 400)


def test_of_the_two_forms_that_of_seeger_is_never_above() -> None:
    for error in (0.0, 0.01, 0.3, 0.8):
        for nats in (0.0, 5.0, 300.0):
            found = bound(errors=[error] * 50, kl={"fc": nats})
            assert found.error <= found.error_above <= found.kl_form <= found.sqrt_form + 1e-9


def test_more_samples_draws_and_risk_lower_the_bound_and_more_kl_raises_it() -> None:
    def falls(bounds: list[Bound]) -> bool:
        forms = [(one.kl_form, one.sqrt_form) for one in bounds]
        return all(a > b for pair in pairwise(forms) for a, b in zip(*pair, strict=True))

    many = {"errors": [0.05] * 200}
    assert falls([bound(samples=n, **many) for n in (300, 1000, 10_000)])
    assert falls([bound(delta=delta, **many) for delta in (0.001, 0.05, 0.5)])
    assert falls([bound(kl={"fc": nats}, **many) for nats in (40.0, 20.0, 1.0)])
    assert falls([bound(errors=[0.05] * m, samples=5000) for m in (50, 500, 5000)])
    assert falls([bound(kl={"fc": 0.0}, **many), bound(kl={}, **many)])  # held out


# --- how often it is wrong ---


def test_the_bound_holds_where_the_true_error_is_known_and_without_its_kl_it_does_not() -> None:
    """Labels are coins: every law of weights is wrong in half of new samples, however well it does on the old ones."""
    rng, n, inputs, reach, delta = np.random.default_rng(0), 30, 60, 15.0, 0.1
    wrong = {"bound": 0, "square root": 0, "without KL": 0}
    for _ in range(150):
        x, y = rng.standard_normal((n, inputs)), rng.choice([-1.0, 1.0], n)
        w = y @ x
        w *= reach / np.linalg.norm(w)
        drawn = w + rng.standard_normal((1000, inputs))
        errors = (np.sign(drawn @ x.T) != y).mean(axis=1)
        kl = gaussian_kl(torch.tensor(w), torch.ones(inputs), torch.zeros(inputs), 1.0)
        assert kl == pytest.approx(reach**2 / 2)
        given = {"errors": errors.tolist(), "samples": n, "classes": 2, "delta": delta}
        found = bound(kl={"": kl}, **given)
        wrong["bound"] += found.kl_form < 50
        wrong["square root"] += found.sqrt_form < 50
        wrong["without KL"] += bound(kl={"": 0.0}, **given).kl_form < 50
    assert wrong["bound"] <= delta * 150
    assert wrong["square root"] <= delta * 150
    assert wrong["without KL"] > 0.5 * 150


def test_the_best_of_many_guesses_is_not_believed() -> None:
    """P is uniform on 1000 guesses and Q the best one on the samples: KL = ln 1000 = 6.9, and it takes most of it."""
    rng, n, delta = np.random.default_rng(1), 50, 0.2
    best = rng.binomial(n, 0.5, size=(300, 1000)).min(axis=1) / n
    forms = {
        share: np.array(
            [bound(errors=[e] * 10_000, kl={"": share * math.log(1000)}, samples=n, delta=delta).kl_form for e in best]
        )
        for share in (1.0, 0.0)
    }
    assert (forms[1.0] < 50).mean() <= delta
    assert (forms[0.0] < 50).mean() > delta


def test_held_out_samples_bound_the_error_as_often_as_they_say() -> None:
    rng, truth, n, delta = np.random.default_rng(2), 0.3, 80, 0.2
    held_out = rng.binomial(n, truth, size=3000) / n
    values, counts = np.unique(held_out, return_counts=True)
    low = [bound(errors=[e] * 100_000, kl={}, samples=n, delta=delta).kl_form < 100 * truth for e in values]
    wrong = counts @ np.array(low) / 3000
    assert wrong <= delta / 2
    assert wrong > delta / 50  # close enough to the edge for a smaller term to be found out


def test_the_mean_of_all_draws_is_above_its_limit_as_seldom_as_it_says() -> None:
    rng, truth, m, delta = np.random.default_rng(3), 0.25, 20, 0.4
    draws = rng.binomial(1, truth, size=(3000, m))
    wrong = np.mean([bound(errors=row.tolist(), delta=delta).error_above < 25 for row in draws])
    assert 0 < wrong <= delta / 2


# --- another noise at test ---


def test_a_smaller_noise_is_bounded_by_the_change_alone_or_under_the_assumption() -> None:
    found = bound(errors=[0.05] * 500, samples=5000)
    near, far = (found.at_noise("gaussian:0.05", error=0.02, kl=nats).test for nats in (0.01, 50.0))
    assert near is not None
    assert far is not None
    assert near.assumed == found.kl_form < near.proved < far.proved == 100
    assert binary_kl(near.proved / 100, found.kl_form / 100) == pytest.approx(0.01, abs=1e-9)
    nearest = found.at_noise("x", error=0.02, kl=0.0).test
    assert nearest is not None
    assert nearest.proved == pytest.approx(found.kl_form)


def test_the_change_of_noise_holds_for_known_errors() -> None:
    """Of one weight: answers are wrong beyond |w| > 1, so that both errors are known."""
    for inner, outer in ((0.5, 0.6), (0.9, 1.0), (0.2, 1.0)):
        errors = [math.erfc(1 / (spread * math.sqrt(2))) for spread in (inner, outer)]
        for small, large in (errors, [1 - error for error in errors]):  # the smaller noise is better, or worse
            zero, one = torch.zeros(1), torch.ones(1)
            nats = gaussian_kl(zero, inner * one, zero, outer * one)
            assert binary_kl(small, large) <= nats
            known = bound(errors=[large] * 10**6, kl={}, samples=10**6)
            said = known.at_noise("x", error=small, kl=nats).test
            assert said is not None
            assert small <= said.proved / 100


def test_samples_that_contradict_the_assumption_are_told() -> None:
    found = bound(errors=[0.05] * 500, samples=5000)
    assert "as it is on these samples" in found.at_noise("x", error=0.02, kl=1.0).assumed[-1]
    assert "which these samples contradict" in found.at_noise("x", error=0.07, kl=1.0).assumed[-1]


def test_the_kl_between_two_noises_is_that_of_their_spreads() -> None:
    found = measure_bound(MODEL, None, SOME, "gaussian:0.1", draws=1, test_noise="gaussian:0.05").test
    assert found is not None
    weights = sum(parameter.numel() for parameter in AnalogWeights.of(MODEL, ONE).parameters.values())
    assert found.kl == pytest.approx(weights * (0.25 - 1 - math.log(0.25)) / 2, rel=1e-4)
    of_device = measure_bound(MODEL, None, SOME, "pcm-nandakumar-2019@1y", draws=1, test_noise="gaussian:0.01").test
    assert of_device is not None
    assert (of_device.kl, of_device.proved) == (math.inf, 100)


# --- measured ---


@pytest.mark.parametrize(
    ("noise", "on_tiles"),
    [
        ("gaussian:0.1", None),
        ("gaussian:0.1", OnTiles(scale="layer")),
        ("gaussian:0.1", OnTiles(clip=80.0)),
        ("gaussian-layer:0.1", None),
        ("gaussian-multiplicative:0.2", None),
        ("pcm-foundation-2025", None),
        ("norm:0.05", None),
        ("norm-layer:0.01", None),
        ("max:0.1", None),
    ],
)
def test_the_law_that_enters_the_kl_is_the_law_of_the_draws(noise: str, on_tiles: OnTiles | None) -> None:
    weights = AnalogWeights.of(nn.Conv2d(2, 3, 3, bias=False), torch.ones(1, 2, 5, 5), on_tiles)
    parameter = weights.parameters[""]
    with torch.no_grad():
        parameter.copy_(numbers(0, *parameter.shape))
    law = as_noise(noise)
    drawn = torch.stack([law.draw(weights, Key(0, number))[""] for number in range(2000)]).double()
    stated = normals(weights, law)
    assert stated is not None
    spread = stated[""].spread
    assert spread.shape == parameter.shape
    assert bool((spread > 0).all())
    torch.testing.assert_close(drawn.std(dim=0), spread.double(), rtol=0.08, atol=0)
    assert float(((drawn.mean(dim=0) - stated[""].mean) / spread).abs().max()) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("noise", ["pcm-nandakumar-2019@1d", "uniform:0.1", "levels:15", "ideal", ROUNDED])
def test_a_noise_without_a_closed_form_needs_held_out_samples(noise: str | DevicePreset) -> None:
    with pytest.raises(DriftproofError, match="no closed form"):
        measure_bound(MODEL, digits_cnn(), SOME, noise, draws=1)
    assert measure_bound(MODEL, None, SOME, noise, draws=1).kl == {}


def test_kl_by_layer_is_that_of_torch_around_the_start() -> None:
    start = copy.deepcopy(MODEL)
    with torch.no_grad():
        start.fc2.weight.add_(0.01 * numbers(0, 10, 64))
    found = measure_bound(MODEL, start, SOME, "gaussian:0.1", draws=1, prior_sigma=0.05).kl
    assert list(found) == ["conv1", "conv2", "fc1", "fc2", "digital numbers"]
    w, before = MODEL.fc2.weight.detach().double(), start.fc2.weight.detach().double()
    spread = (0.1 * w.abs().amax(dim=1, keepdim=True)).expand_as(w)
    expected = kl_divergence(Normal(w, spread), Normal(before, 0.05)).sum()
    assert found["fc2"] == pytest.approx(float(expected), rel=1e-4)


def test_a_network_that_stayed_at_its_start_pays_for_the_choices_alone() -> None:
    found = measure_bound(MODEL, copy.deepcopy(MODEL), SOME, "gaussian:0.1", draws=1).kl
    tensors = len(list(MODEL.parameters())) + len(list(MODEL.buffers())) - 4
    assert found.pop("digital numbers") == pytest.approx(tensors * math.log(2))
    for name, nats in found.items():
        assert 5 < nats < 15 + 4e-5 * MODEL.get_parameter(f"{name}.weight").numel()


def test_how_strong_the_noise_is_does_not_enter_the_prior() -> None:
    start = AnalogWeights.of(MODEL, ONE)
    weak, strong = (normals(start, as_noise(f"gaussian:{sigma}")) for sigma in (0.03, 0.4))
    assert weak is not None
    assert strong is not None
    for name in weak:
        shape = prior_shape(weak[name])
        torch.testing.assert_close(shape.spread, prior_shape(strong[name]).spread, rtol=1e-5, atol=0)
        largest = MODEL.get_parameter(f"{name}.weight").detach().flatten(1).abs().amax(dim=1)
        torch.testing.assert_close(shape.spread.flatten(1)[:, 0].float(), largest, rtol=1e-5, atol=0)


def test_every_bit_of_a_digital_number_that_training_changed_is_paid_for() -> None:
    start = copy.deepcopy(MODEL)
    base = measure_bound(MODEL, start, SOME, "gaussian:0.1", draws=1).kl["digital numbers"]
    for changed, size in ((start.fc2.bias, 10), (start.get_buffer("bn1.running_mean"), 16)):
        with torch.no_grad():
            changed[3] += 1
        now = measure_bound(MODEL, start, SOME, "gaussian:0.1", draws=1).kl["digital numbers"]
        assert now - base == pytest.approx(32 * size * math.log(2))
        base = now


def test_the_mixture_costs_no_more_than_its_best_part_and_that_is_close_to_any_spread() -> None:
    now = Weights(numbers(0, 40, 30), torch.full((40, 30), 0.3))
    start = Weights(numbers(0, 40, 30) + 0.2 * numbers(1, 40, 30), torch.full((40, 30), 0.1))
    found = mixture_kl(now, start)
    js = range(-300, 301)
    parts = [
        gaussian_kl(now.mean, now.spread, start.mean, start.spread * float(scale)) for scale in 2 ** (np.array(js) / 64)
    ]
    assert found == pytest.approx(min(nats + choice_nats(j) for j, nats in zip(js, parts, strict=True)))
    assert min(parts) < found < min(parts) + 15
    assert sum(math.exp(-choice_nats(j)) for j in range(-20_000, 20_001)) == pytest.approx(1, abs=1e-4)
    assert sum(math.exp(-choice_nats(j)) for j in range(-20_000, 20_001)) < 1


def test_the_errors_are_those_of_the_perturbed_network() -> None:
    law, wrong = as_noise("gaussian:0.5"), []
    network = copy.deepcopy(MODEL)
    weights = AnalogWeights.of(MODEL, ONE)
    for number in range(3):
        for name, value in law.draw(weights, fresh_key(4, number)).items():
            network.get_parameter(f"{name}.weight").data.copy_(value)
        with torch.no_grad():
            wrong.append(float((network(SOME.inputs).argmax(dim=1) != SOME.targets).float().mean()))
    found = measure_bound(MODEL, None, SOME, "gaussian:0.5", draws=3, seed=4, batch_size=25)
    assert found.error == pytest.approx(100 * sum(wrong) / 3)
    assert found.error > 1


def test_the_draws_are_none_that_training_has_had(monkeypatch: pytest.MonkeyPatch) -> None:
    law = as_noise("gaussian:0.1")
    keys: list[Key] = []
    draw = type(law).draw

    def recorded(self: Any, weights: AnalogWeights, key: Key) -> Any:
        keys.append(key)
        return draw(self, weights, key)

    monkeypatch.setattr(type(law), "draw", recorded)
    measure_bound(MODEL, None, SOME, law, draws=4, seed=2)
    assert len(set(keys)) == 4
    assert all(key.seed == 2 and key.number >= 1 << 62 for key in keys)


def test_the_network_is_as_before_and_the_same_call_gives_the_same_bound() -> None:
    model = copy.deepcopy(MODEL).train()
    model.bn1.eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first = measure_bound(model, MODEL, SOME, draws=3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert not model.bn1.training
    assert torch.equal(state, torch.get_rng_state())
    assert first == measure_bound(model, MODEL, SOME, draws=3)


def test_an_output_that_is_no_number_is_a_wrong_answer() -> None:
    class Overflowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.fc(x) * torch.tensor([math.inf, 1.0])
            return outputs

    model = Overflowing()
    nn.init.ones_(model.fc.weight)  # so that it says infinity, of the right class
    data = TensorData("zeros", torch.ones(4, 2), torch.zeros(4, dtype=torch.int64))
    assert measure_bound(model, None, data, draws=2).error == 100


# --- what it says ---


def test_the_text_has_every_term_and_says_when_it_is_vacuous() -> None:
    torch.manual_seed(0)
    found = measure_bound(MODEL, digits_cnn(), SOME, "gaussian:0.1", draws=2, test_noise="gaussian:0.05")
    assert found.vacuous
    text = str(found)
    for term in found.table()["term"]:
        assert term in text
    assert "Vacuous: guessing is wrong in 90.0 %" in text
    assert "makes the bound false" in text
    assert "does not grow from gaussian:0.1 to gaussian:0.05" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 100
    held_out = measure_bound(MODEL, None, digits(), "gaussian:0.1", draws=40)
    assert not held_out.vacuous
    assert "Vacuous" not in str(held_out)
    assert "Neither the network nor the noise was trained or chosen" in str(held_out)


def test_what_is_no_better_than_guessing_is_vacuous() -> None:
    found = [bound(errors=[0.5] * 1000, samples=5000, classes=classes) for classes in (2, 3)]
    assert [one.vacuous for one in found] == [True, False]
    assert 50 < found[0].kl_form < 67
    assert [one.chance for one in found] == pytest.approx([50, 200 / 3])


def test_a_bound_in_a_sentence_is_rounded_up() -> None:
    for error in np.linspace(0.01, 0.4, 23):
        found = bound(errors=[float(error)] * 100).at_noise("x", error=0.0, kl=0.01)
        said = [float(text.split("at most ")[1].split(" %")[0]) for text in (found.proved[0], found.proved[-1])]
        assert found.kl_form <= said[0] < found.kl_form + 0.1
        assert found.test is not None
        assert found.test.proved <= said[1] < found.test.proved + 0.1


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": 0.0}, "delta 0.0: wanted"),
        ({"delta": 1.0}, "delta 1.0: wanted"),
        ({"delta": math.nan}, "delta nan: wanted"),
        ({"samples": 0}, "samples 0: wanted at least 1"),
        ({"classes": 1}, "classes 1: wanted at least 2"),
        ({"errors": []}, "draws 0: wanted at least 1"),
        ({"errors": [5.0]}, "wanted a share of the samples"),
        ({"errors": [math.nan]}, "wanted a share of the samples"),
        ({"kl": {"fc": -1.0}}, "kl of fc -1.0: wanted nats"),
        ({"kl": {"": math.nan}}, r"kl of \(root\) nan: wanted nats"),
    ],
)
def test_impossible_quantities_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        bound(**changes)


def test_a_prior_without_spread_is_refused() -> None:
    for sigma in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DriftproofError, match="prior's spread is zero, negative or not finite"):
            measure_bound(MODEL, MODEL, SOME, draws=1, prior_sigma=sigma)
    start = copy.deepcopy(MODEL)
    with torch.no_grad():
        start.fc1.weight[5] = 0
    with pytest.raises(DriftproofError, match=r"layer fc1: gaussian:0\.1 .*at some weights of the start"):
        measure_bound(MODEL, start, SOME, draws=1)
    assert measure_bound(MODEL, start, SOME, draws=1, prior_sigma=0.1).kl["fc1"] < math.inf
    with pytest.raises(DriftproofError, match="held-out samples need none"):
        measure_bound(MODEL, None, SOME, draws=1, prior_sigma=0.1)


def test_a_column_without_noise_makes_the_bound_say_nothing() -> None:
    model = copy.deepcopy(MODEL)
    with torch.no_grad():
        model.fc1.weight[5] = 0
    found = measure_bound(model, MODEL, SOME, draws=1)
    assert (found.kl["fc1"], found.kl_form, found.sqrt_form) == (math.inf, 100, 100)
    smaller = measure_bound(model, None, SOME, draws=1, test_noise="gaussian:0.05").test
    assert smaller is not None
    assert smaller.kl < math.inf  # those weights are the same under both


def test_a_start_of_another_structure_is_refused() -> None:
    wider, without = digits_cnn(), digits_cnn()
    wider.fc2 = nn.Linear(64, 11)
    without.add_module("bn1", nn.Identity())
    with pytest.raises(DriftproofError, match=r"the start is another network: fc2.\w+ is \[11"):
        measure_bound(MODEL, wider, SOME, draws=1)
    with pytest.raises(DriftproofError, match=r"bn1.\w+ is missing there"):
        measure_bound(MODEL, without, SOME, draws=1)


def test_other_impossible_requests_are_refused() -> None:
    with pytest.raises(DriftproofError, match="delta 2: wanted"):
        measure_bound(MODEL, None, "looked at first", delta=2)
    with pytest.raises(DriftproofError, match="draws 0: wanted at least 1"):
        measure_bound(MODEL, None, SOME, draws=0)
    with pytest.raises(DriftproofError, match=r"test noise gaussian:0\.2 is larger than gaussian:0\.1"):
        measure_bound(MODEL, None, SOME, draws=1, test_noise="gaussian:0.2")
    numeric = TensorData("numbers", SOME.inputs, SOME.targets.float())
    with pytest.raises(DriftproofError, match="the bound counts wrong answers"):
        measure_bound(MODEL, None, numeric, draws=1)
