"""Numbers of noise that is new in every product: of a sample, whatever comes beside it; a standard normal law; few.

The obvious version draws one sample's block with a generator of its own, and its seeds with Python's integers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from driftproof._calls import Dense, Product
from driftproof._devices import SampleNormals
from driftproof._devices.keys import block_seeds
from driftproof._devices.mvm_read_noise import BLOCK_NUMBERS, FURTHEST, samples_per_block
from driftproof._errors import DriftproofError
from driftproof.arrays._passes import Passes, by_sample

CPU = torch.device("cpu")
KEY = SampleNormals(seed=3, chip=1, layer="layer1.0.conv1", t_s=86_400.0)
# of a sample: one, a few, a multiple of 16 and not, one block's limit, and samples that are blocks of their own
COUNTS = (1, 3, 10, 16, 100, 171, 256, 257, 512, 513, 1000, 16_384)
# All moments and correlations below together raise a false alarm with this probability (the seed is fixed)
ALARM = 1e-4
ALL = 3 * 13 + 5


def draw(samples: Sequence[int], count: int, key: SampleNormals = KEY, purpose: str = "mvm") -> Tensor:
    return key.draw((len(samples), count), samples, purpose, CPU)


def obvious_seed(block: int) -> int:
    """The low half of a block's seed."""
    text = f"driftproof|{KEY.seed}|{KEY.chip}|{KEY.layer}|mvm|{KEY.t_s!r}"
    digest = hashlib.blake2b(text.encode(), digest_size=12).digest()
    low = (block ^ (block >> 32) * 0x9E3779B9) % 2**32
    for at in (0, 4):
        low = (low + int.from_bytes(digest[at : at + 4], "little")) % 2**32
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            low = (low ^ low >> shift) * factor % 2**32
        low ^= low >> 16
    return low


def obvious(sample: int, count: int) -> Tensor:
    size = 1
    while 2 * size * count <= 512:
        size *= 2
    source = torch.Generator().manual_seed(obvious_seed(math.floor(sample / size)))
    return torch.empty(size, count).normal_(generator=source)[sample % size]


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
    assert torch.equal(whole, torch.stack([obvious(sample, count) for sample in range(last)]))
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


def test_scattered_samples_are_drawn_a_few_blocks_at_a_time() -> None:
    """More blocks than are drawn at once, the last of them fewer."""
    samples = np.random.default_rng(1).permutation(np.arange(0, 60_000, 7))
    wanted = draw(range(60_000), 10)[torch.from_numpy(samples)]
    assert torch.equal(draw(samples.tolist(), 10), wanted)


@pytest.mark.parametrize("sample", [2**32, 2**40, 2**45 + 5, FURTHEST, -1, -32, -33, -(2**40), -FURTHEST])
@pytest.mark.parametrize("count", [10, 600])
def test_numbers_of_samples_may_be_large_and_negative(sample: int, count: int) -> None:
    found = draw([sample], count)[0]
    assert torch.equal(found, obvious(sample, count))
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


def test_blocks_of_one_key_have_different_seeds_and_those_of_another_key_others() -> None:
    blocks = np.concatenate([np.arange(-100_000, 100_000), [2**31 - 1, -(2**31)], np.arange(2**20, 2**31, 2**12)])
    low = np.unique(np.array(block_seeds(0, 0, "fc", "mvm", 1.0, blocks), dtype=np.uint64) % 2**32)
    assert len(low) == len(np.unique(blocks))
    other = np.array(block_seeds(0, 1, "fc", "mvm", 1.0, np.arange(200_000)), dtype=np.uint64)
    # 200,000 × 723,000 / 2³² = 34 expected by chance; a probability of 1e-9 each to be outside
    shared = len(np.intersect1d(other % 2**32, low))
    expected = 200_000 * len(low) / 2**32
    assert stats.poisson.ppf(1e-9, expected) <= shared <= stats.poisson.isf(1e-9, expected)


@pytest.mark.parametrize(("count", "samples"), [(1, 1_000_000), (10, 100_000), (1000, 1000)])
def test_numbers_are_standard_normal_and_uncorrelated(count: int, samples: int) -> None:
    x = draw(range(samples), count).double()
    size = samples_per_block(count)
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
    # every pair of samples of one block, and every pair of a sample of one block and one of the next: correlations of
    # numbers [blocks · n] (of unit length, so that the squares of a row's correlations do not depend on each other)
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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many numbers every call of torch's sampler has drawn."""
    counts: list[int] = []
    normal: Callable[..., Tensor] = Tensor.normal_

    def counting(self: Tensor, *args: float, **named: torch.Generator) -> Tensor:
        counts.append(self.numel())
        return normal(self, *args, **named)

    monkeypatch.setattr(Tensor, "normal_", counting)
    return counts


@pytest.mark.parametrize("count", COUNTS)
def test_scattered_samples_draw_no_more_than_their_blocks(count: int, drawn: list[int]) -> None:
    samples = np.random.default_rng(0).choice(10**9, 100, replace=False).tolist()
    draw(samples, count)
    assert len(drawn) <= 100
    assert max(drawn) <= max(BLOCK_NUMBERS, count) == max(512, count)


@pytest.mark.parametrize("count", COUNTS)
def test_samples_that_follow_each_other_draw_no_more_than_two_blocks_beside(count: int, drawn: list[int]) -> None:
    size = samples_per_block(count)
    draw(range(3 * size, 7 * size), count)
    assert sum(drawn) == 4 * size * count  # whole blocks, nothing else
    drawn.clear()
    draw(range(3 * size + 1, 8 * size - 1), count)
    assert sum(drawn) == (5 * size * count if size > 1 else 3 * count)
    drawn.clear()
    draw(np.random.default_rng(0).permutation(4 * size).tolist(), count)
    assert sum(drawn) == 4 * size * count  # each block once


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
def test_cuda_draws_the_same_law_sample_by_sample(count: int) -> None:
    cuda, last = torch.device("cuda"), max(100_000 // count, 100)
    whole = KEY.draw((last, count), range(last), "mvm", cuda)
    assert whole.device.type == "cuda"
    for samples in ([5], range(7, 60), np.random.default_rng(0).permutation(last)[:700].tolist()):
        assert torch.equal(KEY.draw((len(samples), count), samples, "mvm", cuda), whole[list(samples)])
    # |z| < 5.2: false alarm 2e-7 each, of 24 comparisons 5e-6
    z = 5.2 / math.sqrt(whole.numel())
    assert abs(float(whole.double().mean())) < z
    assert abs(float(whole.double().square().mean()) - 1) < z * math.sqrt(2)
