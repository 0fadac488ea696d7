"""Numbers of noise that is new in every product: of a sample, whatever comes beside it; a standard normal law.

The obvious version computes one number at a time with Python's integers and functions.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from driftproof._calls import Dense, Product
from driftproof._devices import SampleNormals, philox
from driftproof._devices.keys import words
from driftproof._devices.mvm_read_noise import FURTHEST
from driftproof._errors import DriftproofError
from driftproof.arrays._passes import Passes, by_sample

CPU = torch.device("cpu")
KEY = SampleNormals(seed=3, chip=1, layer="layer1.0.conv1", t_s=86_400.0)
# of a sample: fewer than four, a multiple of four and not, some lanes' limit (4 · 256), and far beyond
COUNTS = (1, 3, 4, 10, 16, 171, 1000, 1023, 1024, 1025, 16_384)
# All moments and correlations below together raise a false alarm with this probability (the seed is fixed)
ALARM = 1e-4
ALL = 3 * 13 + 5


def draw(samples: Sequence[int], count: int, key: SampleNormals = KEY, purpose: str = "mvm") -> Tensor:
    return key.draw((len(samples), count), samples, purpose, CPU)


def obvious_words(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as in its paper."""
    for _ in range(10):
        one, two = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [two >> 32 ^ counter[1] ^ key[0], two % 2**32, one >> 32 ^ counter[3] ^ key[1], one % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def obvious(sample: int, count: int) -> Tensor:
    """The numbers of a sample in float64."""
    text = f"driftproof|{KEY.seed}|{KEY.chip}|{KEY.layer}|mvm|{KEY.t_s!r}"
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    numbers = []
    for four in range(-(-count // 4)):
        counter = [four, 0, sample % 2**32, sample // 2**32 % 2**32]
        found = obvious_words(counter, [digest % 2**32, digest // 2**32])
        for radius, angle in (found[:2], found[2:]):
            r = math.sqrt(-2 * math.log(float(np.float32(radius + 0.5)) / 2**32))
            low = angle % 2**30
            x = (low - 2**30 if low >= 2**29 else low) / 2**30 * math.pi / 2
            along, across = r * math.cos(x) * (-1) ** (angle >> 31), r * math.sin(x)
            numbers += [across, along] if angle >> 30 & 1 else [along, across]
    return torch.tensor(numbers[:count], dtype=torch.float64)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", COUNTS)
def test_a_sample_has_the_same_numbers_in_any_batch(count: int) -> None:
    last = 700 if count < 1000 else 40
    whole = draw(range(last), count)
    some = range(0, last, 1 + last * count // 3000)
    wanted = torch.stack([obvious(sample, count) for sample in some])
    assert (whole[list(some)] - wanted).abs().max() < 1e-6
    rng = np.random.default_rng(0)
    subsets: list[Sequence[int]] = [
        *([sample] for sample in (0, 1, last // 2, last - 1)),
        *(range(start, start + length) for start, length in ((0, 7), (5, 20), (31, 2), (1, last - 2), (16, last - 16))),
        *(range(start, min(start + 97, last)) for start in range(0, last, 97)),
        range(last - 1, -1, -1),
        range(3, last, 3),
        rng.permutation(last).tolist(),
        rng.integers(0, last, 60).tolist(),
        [*range(20, 40), *range(20), 20, 20],
        [4, 6, 5, 7],
    ]
    for samples in subsets:
        assert torch.equal(draw(samples, count), whole[list(samples)]), samples


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ([0] * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_random_words_are_those_of_the_papers_authors(counter: list[int], key: tuple[int, int], wanted: str) -> None:
    """Known answers that come with the published generator."""
    found = philox.philox([torch.tensor(word) for word in counter], key)
    assert " ".join(f"{int(word):08x}" for word in found) == wanted
    assert " ".join(f"{word:08x}" for word in obvious_words(counter, list(key))) == wanted


@pytest.mark.parametrize("count", COUNTS)
def test_compiled_loops_and_operators_give_the_same_numbers(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [*range(-3, 300 if count < 2000 else 5), 2**40, FURTHEST, -FURTHEST]
    compiled = draw(samples, count)
    used: list[str] = []
    monkeypatch.setattr(philox, "loops", used.append)
    assert torch.equal(draw(samples, count), compiled)
    assert used


def test_many_numbers_are_computed_some_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = draw(range(100), 10)
    monkeypatch.setattr(philox, "_AT_ONCE", 90)
    monkeypatch.setattr(philox, "loops", lambda _: None)
    assert torch.equal(draw(range(100), 10), wanted)


def test_a_samples_first_numbers_do_not_depend_on_how_many_there_are() -> None:
    assert torch.equal(draw(range(20), 1000)[:, :37], draw(range(20), 37))


def test_the_ends_of_the_law() -> None:
    """The smallest word gives 6.76, the largest 0; every quarter of the circle is reached."""
    radius = torch.tensor([0, 0, 0, 0, 2**32 - 1])
    angle = torch.tensor([0, 1 << 30, 2 << 30, 3 << 30, 0])
    one, two = philox._pair(radius, angle)
    largest = math.sqrt(66 * math.log(2))
    assert (one - torch.tensor([largest, 0, -largest, 0, 0])).abs().max() < 2e-6
    assert (two - torch.tensor([0, largest, 0, -largest, 0])).abs().max() < 2e-6


@pytest.mark.parametrize("sample", [2**32, 2**40, 2**45 + 5, FURTHEST, -1, -32, -33, -(2**40), -FURTHEST])
@pytest.mark.parametrize("count", [10, 600])
def test_numbers_of_samples_may_be_large_and_negative(sample: int, count: int) -> None:
    found = draw([sample], count)[0]
    assert (found - obvious(sample, count)).abs().max() < 1e-6
    near = range(max(sample - 40, -FURTHEST), min(sample + 40, FURTHEST) + 1)
    assert torch.equal(draw(near, count)[sample - near[0]], found)
    assert torch.equal(draw([5, sample], count)[1], found)
    assert not torch.equal(draw([sample % 2**32], count)[0], found)


def test_the_shape_of_a_sample_does_not_matter() -> None:
    shaped = KEY.draw((5, 2, 3, 4), range(30, 35), "mvm", CPU)
    assert shaped.shape == (5, 2, 3, 4)
    assert shaped.is_contiguous()
    assert torch.equal(shaped.flatten(1), draw(range(30, 35), 24))


def test_numbers_are_float32_whatever_the_default_is() -> None:
    before = draw(range(5), 10)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(draw(range(5), 10), before)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0), (3, 4, 0), (0, 0)])
def test_nothing_can_be_drawn(shape: tuple[int, ...]) -> None:
    for samples in (range(shape[0]), list(range(shape[0]))):
        assert KEY.draw(shape, samples, "mvm", CPU).shape == shape


def test_one_number_a_sample_needs_no_axis() -> None:
    assert torch.equal(KEY.draw((40,), range(40), "mvm", CPU), draw(range(40), 1).flatten())


@pytest.mark.parametrize("count", COUNTS)
def test_every_part_of_the_key_gives_other_numbers(count: int) -> None:
    keys = [
        (KEY, "mvm"),
        (KEY, "mvm2"),
        (SampleNormals(4, 1, KEY.layer, KEY.t_s), "mvm"),
        (SampleNormals(3, 2, KEY.layer, KEY.t_s), "mvm"),
        (SampleNormals(3, 1, "layer1.0.conv2", KEY.t_s), "mvm"),
        (SampleNormals(3, 1, KEY.layer, 86_401.0), "mvm"),
    ]
    numbers = torch.cat([draw(range(300), count, key, purpose) for key, purpose in keys])
    # of one number, two may be equal by chance
    assert len(np.unique(numbers.numpy(), axis=0)) >= len(numbers) - (count == 1)


def test_keys_are_64_bits_of_all_parts() -> None:
    parts = itertools.product((0, 1), range(5000), "ab", (1.0, 2.0))
    keys = {words(seed, chip, "fc", purpose, t_s) for seed, chip, purpose, t_s in parts}
    assert len(keys) == 40_000  # two of 40,000 coincide once in 2e10 times
    bits = np.array([[word >> bit & 1 for word in key for bit in range(32)] for key in keys]).mean(axis=0)
    assert (np.abs(bits - 0.5) < 5 / math.sqrt(4 * len(keys))).all()  # 64 bits within 5 sd: false alarm 4e-5


@pytest.mark.parametrize(("count", "samples"), [(1, 1_000_000), (10, 100_000), (1000, 1000)])
def test_numbers_are_standard_normal_and_uncorrelated(count: int, samples: int) -> None:
    x = draw(range(samples), count).double()
    size = 32 if count < 100 else 2
    blocks = samples // size
    x_blocks = x[: blocks * size].view(blocks, size, count)
    scores = {
        "mean": float(x.mean()) * 1000,
        "variance": float((x.square() - 1).mean()) * 1000 / math.sqrt(2),
        "skewness": float((x**3).mean()) * 1000 / math.sqrt(15),
        "kurtosis": float((x**4 - 3).mean()) * 1000 / math.sqrt(96),
    }
    neighbours = {
        "samples": (x[1:], x[:-1]),
        "places of one sample": (x[:, 1:], x[:, :-1]) if count > 1 else (x[2:], x[:-2]),
        "blocks": (x_blocks[1:], x_blocks[:-1]),
    }
    for name, (a, b) in neighbours.items():
        root = math.sqrt(a.numel())
        scores[f"neighbouring {name}"] = float((a * b).mean()) * root
        scores[f"squares, neighbouring {name}"] = float(((a.square() - 1) * (b.square() - 1)).mean()) / 2 * root
    limit = stats.norm.isf(ALARM / ALL / 2)
    assert all(abs(score) < limit for score in scores.values()), scores
    p = {"law": stats.kstest(x.flatten().numpy(), "norm").pvalue}
    # every pair of samples of a block of neighbours, and of one block and the next: correlations of numbers
    # [blocks · n] (of unit length, so that the squares of a row's correlations do not depend on each other)
    rows = torch.nn.functional.normalize(x_blocks.transpose(0, 1).reshape(size, -1), dim=1)
    pairs = (rows @ rows.T)[torch.triu_indices(size, size, 1).unbind()]
    p["in one block"] = stats.chi2.sf(float(pairs.square().sum()) * rows.shape[1], len(pairs)) if size > 1 else 1.0
    one, next_one = (
        torch.nn.functional.normalize(x_blocks[start : start + blocks - 1 : 2].transpose(0, 1).reshape(size, -1), dim=1)
        for start in (0, 1)
    )
    across = (one @ next_one.T).square() * one.shape[1]
    p["of neighbouring blocks"] = stats.chi2.sf(float(across.sum()), across.numel())
    assert all(value > ALARM / ALL for value in p.values()), p


@pytest.mark.parametrize(
    ("other", "purpose"),
    [
        (KEY, "mvm2"),
        (SampleNormals(4, 1, KEY.layer, KEY.t_s), "mvm"),
        (SampleNormals(3, 2, KEY.layer, KEY.t_s), "mvm"),
        (SampleNormals(3, 1, "fc", KEY.t_s), "mvm"),
        (SampleNormals(3, 1, KEY.layer, 86_401.0), "mvm"),
    ],
)
def test_numbers_of_two_keys_are_uncorrelated(other: SampleNormals, purpose: str) -> None:
    a, b = draw(range(100_000), 10), draw(range(100_000), 10, other, purpose)
    assert abs(float((a.double() * b).mean())) * 1000 < stats.norm.isf(ALARM / ALL / 2)


def test_samples_in_the_second_axis_have_the_same_numbers_in_any_batch() -> None:
    passes, weight = Passes(), torch.zeros(6, 4)

    def numbers(samples: Sequence[int], flat: bool) -> Tensor:
        passes.begin(samples)
        shape = (7 * len(samples), 6) if flat else (7, len(samples), 6)
        product = Product(torch.zeros(*shape[:-1], 4), weight, None, Dense(), sample_axis=1)
        found = by_sample(passes, product, shape, lambda own, given: KEY.draw(own, given, "mvm", CPU), "fc")
        return found.view(7, len(samples), 6)

    whole = numbers(range(50), flat=False)
    for samples in (range(3, 20), [40, 2, 2, 17], [49]):
        for flat in (False, True):
            assert torch.equal(numbers(samples, flat), whole[:, list(samples)])


@pytest.mark.parametrize(
    ("samples", "shape", "message"),
    [
        (
            [1, 2**62 + 1],
            (2, 3),
            r"layer 'layer1\.0\.conv1': samples 1, 4611686018427387905; integers from -2⁶² to 2⁶²",
        ),
        ([-(2**62) - 1], (1, 3), "samples -4611686018427387905; integers"),
        ([2**64], (1, 3), "samples 18446744073709551616; integers"),
        (range(2**62, 2**62 + 5), (5, 3), r"samples 4611686018427387904, .*, …; integers"),
        ([0.5, 1.5], (2, 3), r"samples 0\.5, 1\.5; integers"),
        (["a"], (1, 3), "samples 'a'; integers"),
        ([True], (1, 3), "samples True; integers"),
        (range(3), (4, 10), r"numbers of shape \[4, 10\] for 3 samples; \[samples, …\] is wanted"),
        ([], (), r"numbers of shape \[\] for 0 samples"),
    ],
)
def test_what_no_sample_has_as_its_number_is_refused(
    samples: Sequence[int], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DriftproofError, match=message):
        KEY.draw(shape, samples, "mvm", CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("count", COUNTS)
def test_cuda_draws_the_same_numbers(count: int) -> None:
    samples = [*range(-3, 300 if count < 2000 else 30), 2**40, FURTHEST, -FURTHEST]
    found = KEY.draw((len(samples), count), samples, "mvm", torch.device("cuda"))
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), draw(samples, count))
