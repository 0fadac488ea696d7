"""A weight that its array does not serve everywhere: digital, counted, named, and refused where all is to be analog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import Mapping, map_model, unasked_text

HEAD = 4 * 3  # multiply-accumulates of the head, which is on tiles in all of these networks


class Net(nn.Module):
    """A weight [4, 6] that a function uses in its own way, and a head [3, 4]."""

    def __init__(self, function: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head, self.function = nn.Linear(6, 4, bias=False), nn.Linear(4, 3), function
        self.low, self.high = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(4, 2))
        self.experts = nn.Parameter(torch.randn(5, 6, 4))
        self.square, self.bias = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))
        self.vector, self.hyper = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3, 24))
        self.fixed = nn.Buffer(torch.randn(4, 6))

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.head(self.function(self, x)))


def lora(net: Net, x: Tensor) -> Tensor:
    return F.linear(x, net.fc.weight + 0.5 * (net.high @ net.low))


def product(net: Net) -> Tensor:
    return (net.high @ net.low).t()  # [6, 4], of rank 2


LOW_RANK = {"low", "high"}
# how the weight is used, its multiply-accumulates a sample, and whose they are
FORMS: dict[str, tuple[Callable[[Net, Tensor], Tensor], int, set[str]]] = {
    "also transposed, copied": (lambda n, x: n.fc(F.linear(n.fc(x), n.fc.weight.t().contiguous())), 3 * 24, {"fc"}),
    "joined with another": (lambda n, x: F.linear(x, torch.cat([n.fc.weight, n.low]))[:, :4], 24 + 12, {"fc", "low"}),
    "a low rank added": (lora, 24, {"fc", "low", "high"}),
    "a low rank, F.linear": (lambda n, x: F.linear(x, n.high @ n.low), 24, LOW_RANK),
    "a low rank, @": (lambda n, x: x @ product(n), 24, LOW_RANK),
    "a low rank, mm": (lambda n, x: torch.mm(x, torch.mm(n.low.t(), n.high.t())), 24, LOW_RANK),
    "a low rank, einsum": (lambda n, x: torch.einsum("ni,io->no", x, product(n)), 24, LOW_RANK),
    "a low rank made by einsum": (lambda n, x: x @ torch.einsum("ri,or->io", n.low, n.high), 24, LOW_RANK),
    "a low rank, addmm": (lambda n, x: torch.addmm(n.bias, x, product(n)), 24, LOW_RANK),
    "a low rank, bmm": (
        lambda n, x: torch.bmm(x[:, None], product(n).expand(len(x), 6, 4))[:, 0],
        24,
        LOW_RANK,
    ),
    "a low rank, bmm of copies": (
        lambda n, x: torch.bmm(x[:, None], torch.stack([product(n)] * len(x)))[:, 0],
        24,
        LOW_RANK,
    ),
    "a low rank, 3-D": (lambda n, x: (x[:, None] @ product(n))[:, 0], 24, LOW_RANK),
    "a low rank, scaled": (lambda n, x: x @ (2 * product(n)), 24, LOW_RANK),
    "a low rank on the left": (lambda n, x: (product(n).t() @ x.t()).t(), 24, LOW_RANK),
    "a low rank, convolution": (lambda n, x: F.conv1d(x[..., None], product(n).t()[..., None])[..., 0], 24, LOW_RANK),
    "a low rank added, @": (lambda n, x: x @ (n.fc.weight.t() + product(n)), 24, {"fc", "low", "high"}),
    "a low rank added by addmm": (
        lambda n, x: x @ torch.addmm(n.fc.weight, n.high, n.low).t(),
        24,
        {"fc", "low", "high"},
    ),
    "a chain of weights": (lambda n, x: x @ (product(n) @ n.square), 24, {"low", "high", "square"}),
    "a chain of weights from the right": (
        lambda n, x: x @ (n.low.t() @ (n.high.t() @ n.square)),
        24,
        {"low", "high", "square"},
    ),
    "its square": (lambda n, x: x[:, :4] @ (n.square @ n.square), 16, {"square"}),
    "its Gram matrix": (lambda n, x: (x @ (n.fc.weight.t() @ n.fc.weight))[:, :4], 36, {"fc"}),
    "as it is, and its Gram matrix": (
        lambda n, x: n.fc(x @ (n.fc.weight.t() @ n.fc.weight)),
        36 + 24,
        {"fc"},
    ),
    "as it is, and read for a product of weights": (
        lambda n, x: n.fc(x) + (n.fc.weight.t() @ n.high).mean(),
        24,
        {"fc"},
    ),
    "made of a vector": (lambda n, x: x @ (n.vector @ n.hyper).view(6, 4), 24, {"hyper"}),
    "experts that inputs choose": (
        lambda n, x: torch.bmm(x[:, None], n.experts[(x[:, 0] > 0).long()])[:, 0],
        24,
        {"experts"},
    ),
    "also looked up": (
        lambda n, x: n.fc(x + F.embedding((x[:, 0] > 0).long(), n.fc.weight)),
        24,
        {"fc"},
    ),
}


def watched(form: str, samples: int = 5) -> Mapping:
    return map_model(Net(FORMS[form][0]).eval(), example=torch.randn(samples, 6))


@pytest.mark.parametrize("form", FORMS)
def test_what_no_array_serves_is_digital_counted_and_named(form: str) -> None:
    _, macs, names = FORMS[form]
    mapping = watched(form)
    assert list(mapping.weights) == ["head"]
    unasked = {entry.name: entry for entry in mapping.layers if entry.unasked}
    assert set(unasked) == names
    counted = sum(entry.macs_per_input or 0 for entry in unasked.values())
    assert counted == macs
    assert mapping.analog_macs == pytest.approx(HEAD / (HEAD + counted))
    text = unasked_text(mapping)
    assert all(name in text for name in names)
    assert f" {100 * counted / (HEAD + counted):.1f} % of the multiply-accumulates" in text
    with pytest.raises(DriftproofError, match=r"all_analog: .*digital.*: .*where="):
        map_model(Net(FORMS[form][0]).eval(), example=torch.randn(5, 6), all_analog=True)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_sample_takes_does_not_depend_on_how_many_there_are(form: str) -> None:
    few, many = ([replace(entry, reason="") for entry in watched(form, samples).layers] for samples in (2, 9))
    assert few == many


SERVED: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "twice": lambda n, x: n.fc(x) + n.fc(2 * x),
    "some outputs": lambda n, x: n.fc(x) + F.linear(x, n.fc.weight[:2]).repeat(1, 2),
    "scaled": lambda n, x: F.linear(x, n.fc.weight * 0.5),
    "also a part of its inputs": lambda n, x: n.fc(x) + F.linear(x[:, :2], n.fc.weight[:, :2]),
    "also every second output": lambda n, x: n.fc(x) + F.linear(x, n.fc.weight[::2]).repeat(1, 2),
    "on the left": lambda n, x: (n.fc.weight @ x.t()).t(),
    "on the left of one vector": lambda n, x: torch.stack([torch.mv(n.fc.weight, row) for row in x]),
    "einsum": lambda n, x: torch.einsum("oi,ni->no", n.fc.weight, x),
    "in a batch of matrices": lambda n, x: torch.bmm(x[:, None], n.fc.weight.t().expand(len(x), 6, 4))[:, 0],
    "positions that are learned": lambda n, x: n.fc(x + n.fc(n.low).mean() + n.low[0]),
}


@pytest.mark.parametrize("form", SERVED)
def test_what_an_array_serves_is_on_it(form: str) -> None:
    mapping = map_model(Net(SERVED[form]).eval(), example=torch.randn(5, 6))
    assert list(mapping.weights) == ["fc", "head"]
    assert not [entry.name for entry in mapping.layers if entry.unasked]
    assert unasked_text(mapping) == ""
    assert mapping.analog_macs == 1


def test_attention_with_learned_queries_stays_as_it_was() -> None:
    """What a layer makes of a parameter is an activation: its product with others is no product by a weight."""

    def attend(net: Net, x: Tensor) -> Tensor:
        queries, keys = net.fc(net.low), net.fc(x)  # [2, 4], [N, 4]
        mixed: Tensor = (queries @ keys.t()).softmax(0).t() @ net.high.t()
        return mixed + F.scaled_dot_product_attention(
            keys[:, None], net.fixed[None, :, :4].expand(len(x), 4, 4), keys[:, None]
        ).mean(1)

    mapping = map_model(Net(attend).eval(), example=torch.randn(5, 6))
    assert set(mapping.weights) == {"fc", "head", "high"}
    assert unasked_text(mapping) == ""


def test_a_product_of_weights_that_inputs_do_not_go_through_is_on_no_array() -> None:
    """What it adds is the same at every call: it is neither counted, nor missed."""
    net = Net(lambda n, x: n.fc(x) + (n.low.t() @ n.high.t()).mean() + n.low.sum()).eval()
    mapping = map_model(net, example=torch.randn(5, 6), all_analog=True)
    assert list(mapping.weights) == ["fc", "head"]
    (high,) = [entry for entry in mapping.layers if entry.name == "high"]
    assert "with other parameters only, no inputs" in high.reason
    assert (high.macs_per_input, high.mvms_per_input) == (None, None)
    assert mapping.analog_macs == 1


def test_batches_of_learned_queries_written_by_hand_stay_as_they_were() -> None:
    def attend(net: Net, x: Tensor) -> Tensor:
        queries = net.low[:, None, :4] @ net.square  # [2, 1, 4]
        keys = net.fc(x).t()  # [4, N]
        mixed: Tensor = (queries @ keys).softmax(-1).mean((0, 1))[:, None] * net.fc(x)
        return mixed

    mapping = map_model(Net(attend).eval(), example=torch.randn(5, 6), all_analog=True)
    assert set(mapping.weights) == {"square", "fc", "head"}


def test_a_start_that_is_learned_leaves_a_recurrent_weight_on_its_array() -> None:
    """Its first product is the same at every call; the others have the inputs in them."""

    def steps(net: Net, x: Tensor) -> Tensor:
        state = net.bias.expand(len(x), 4)
        for _ in range(3):
            state = (state @ net.square + net.fc(x)).tanh()
        return state

    for samples in (2, 5):
        mapping = map_model(Net(steps).eval(), example=torch.randn(samples, 6), all_analog=True)
        assert list(mapping.weights) == ["square", "fc", "head"]
        assert mapping.weights["square"].uses == 3
        assert [e.mvms_per_input for e in mapping.layers if e.name == "square"] == [2]


def test_code_that_cannot_be_watched_is_counted() -> None:
    model = nn.Sequential(torch.jit.script(nn.Linear(3, 3)), nn.Linear(3, 2))
    mapping = map_model(model, example=torch.ones(1, 3))
    assert mapping.analog_macs == pytest.approx(6 / 15)
    assert "with 60.0 % of the multiply-accumulates: 0 (" in unasked_text(mapping)


def test_a_weight_that_is_not_wanted_on_tiles_is_asked_to_be_digital() -> None:
    x, net = torch.randn(5, 6), Net(FORMS["also transposed, copied"][0]).eval()
    for where in ("!fc", "head", ["head"], lambda name, _: name == "head"):
        mapping = map_model(net, example=x, where=where, all_analog=True)
        assert (list(mapping.weights), unasked_text(mapping)) == (["head"], "")
    assert "fc (Linear)" in unasked_text(map_model(net, example=x, where="fc,head"))
    assert 'where="!fc"' in unasked_text(map_model(net, example=x))


def test_convert_says_what_stays_digital() -> None:
    x, net = torch.randn(5, 6), Net(FORMS["also transposed, copied"][0]).eval()
    with pytest.warns(DriftproofWarning, match=r"1 weight .* stays digital.* 85.7 % .*fc \(Linear\)"):
        analog = dp.convert(net, "gaussian:0.1", example=x)
    chip = dp.program(analog).drift("1s")
    with torch.no_grad():
        hidden = net.function(net, x)
        assert torch.allclose(net.function(cast("Net", chip.model), x), hidden, atol=1e-5)
        assert not torch.allclose(chip.model(x), net(x), atol=1e-3)
    for keyword in ("all_analog", "strict"):
        with pytest.raises(DriftproofError, match=r"all_analog: 1 weight .*digital.*: fc"):
            dp.convert(net, "ideal", example=x, **cast("dict[str, Any]", {keyword: True}))
    dp.convert(net, "ideal", example=x, where="!fc", all_analog=True)


@pytest.mark.parametrize("use", ["transposed", "attribute", "part"])
def test_code_that_reads_a_weight_which_is_on_tiles_is_told_so(use: str) -> None:
    """Without an example nothing is known of code that reads its child's weight."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            if use == "transposed":
                return F.linear(self.fc(x), self.fc.weight.t())
            if use == "attribute":
                return cast("Tensor", self.fc(x.to(self.fc.weight.dtype)))
            return F.linear(x, self.fc.weight, self.fc.bias) + self.fc.weight[:, 0]

    chip = dp.program(dp.convert(Tied().eval(), "ideal"))
    with pytest.raises(DriftproofError, match=r"layer fc: .*weight or bias.*example="):
        chip.model(torch.randn(5, 6))
