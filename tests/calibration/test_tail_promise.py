from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from glass_edge.calibration.tail_blocks import BlockMaxima, clustering, extremal_index
from glass_edge.calibration.tail_promise import MOST_BEYOND, metres_needed, promise
from glass_edge.errors import InputError


def good(maxima: NDArray[np.float64], block_m: float = 0.1, roll: NDArray[np.int64] | None = None) -> BlockMaxima:
    n = len(maxima)
    rolls = np.zeros(n, np.int64) if roll is None else roll
    return BlockMaxima(maxima, np.full(n, block_m), rolls, rolls)


def one_each(blocks: BlockMaxima):  # noqa: ANN201
    return lambda x: (blocks.maxima >= x).astype(np.int64)


def test_runs_of_exceeding_blocks_are_clusters_and_stretches_part_them() -> None:
    maxima = np.array([9.0, 9, 0, 9, 0, 0, 9, 9])
    blocks = BlockMaxima(maxima, np.ones(8), np.array([0, 0, 0, 0, 1, 1, 1, 2]), np.zeros(8, np.int64))
    found = clustering(blocks, 5.0, one_each(blocks))
    assert (found.exceeding, found.clusters, found.alarms) == (5, 4, 5)
    assert found.extremal_index == 4 / 5
    assert found.extremal_index_by_chance == pytest.approx(1 - 5 / 8 * 5 / 7)
    assert extremal_index(blocks, 100.0) == (1.0, 1.0)


def test_independent_blocks_have_an_extremal_index_as_by_chance_and_a_dispersion_near_one() -> None:
    random = np.random.default_rng(1)
    blocks = good(np.sort(random.poisson(0.4, 5000))[random.permutation(5000)].astype(float))
    found = clustering(blocks, 0.5, lambda x: blocks.maxima.astype(np.int64))
    assert found.extremal_index == pytest.approx(found.extremal_index_by_chance, abs=0.03)
    assert found.alarms_per_exceedance == pytest.approx(1.0, abs=0.05)
    assert 1.0 <= found.dispersion < 1.2


def test_three_alarms_at_each_spot_and_rolls_that_differ_show_in_the_dispersion() -> None:
    random = np.random.default_rng(2)
    spots = (random.uniform(size=4000) < 0.05).astype(np.int64)
    blocks = good(spots + random.uniform(0, 0.5, 4000))
    tripled = clustering(blocks, 0.9, lambda x: spots * random.geometric(1 / 3, 4000))
    assert tripled.alarms_per_exceedance == pytest.approx(3.0, rel=0.15)
    assert tripled.dispersion == pytest.approx(5 / 3, rel=0.25)  # E[k^2] / E[k]^2 of a geometric k of mean 3
    roll = np.arange(4000) // 100
    often = np.where(roll % 2 == 0, 0.02, 0.10)
    differing = (random.uniform(size=4000) < often).astype(float)
    blocks = good(differing, roll=roll)
    assert clustering(blocks, 0.5, one_each(blocks)).dispersion > 2.0


def test_the_promise_is_the_upper_end_of_the_interval() -> None:
    blocks = good(np.random.default_rng(3).gumbel(size=600))
    found = promise(blocks, 5.0, one_each(blocks))
    assert found.method == "tail"
    assert found.high_per_100m == pytest.approx(5.0, rel=1e-6)
    assert found.tail is not None
    assert found.estimate_per_100m is not None
    assert found.low_per_100m <= found.estimate_per_100m <= found.high_per_100m
    assert found.tail.per_100m(found.threshold_logit - 0.01)[2] > 5.0
    assert found.tail.threshold_by_estimate(5.0) < found.threshold_logit
    true_per_100m = 1000 * np.exp(-found.threshold_logit)  # Gumbel: the largest of a Poisson number of exponentials
    assert true_per_100m <= 5.0


def test_a_rate_beyond_the_metres_is_refused_with_the_metres_that_carry_it() -> None:
    blocks = good(np.random.default_rng(4).gumbel(size=100))  # 10 m
    with pytest.raises(InputError, match=r"200 m is more than 10 times the 10 m seen\. Give 20 m or more"):
        promise(blocks, 0.5, one_each(blocks))
    carried = 100 / (MOST_BEYOND * 10)
    assert promise(blocks, carried, one_each(blocks)).method == "tail"
    assert metres_needed(0.5, 0.1) == 20
    assert metres_needed(50.0, 0.1) == pytest.approx(6.0)  # 60 blocks


def test_few_blocks_carry_what_their_largest_stands_for() -> None:
    blocks = good(np.random.default_rng(5).gumbel(size=20))  # 2 m: 3.7 alarms in them cannot be excluded
    found = promise(blocks, 1000.0, one_each(blocks))
    assert found.method == "largest block"
    assert found.threshold_logit > blocks.maxima.max()
    assert found.threshold_logit == pytest.approx(blocks.maxima.max(), abs=1e-5)
    assert found.high_per_100m >= 184.4
    with pytest.raises(InputError, match=r"20 blocks are too few for a tail \(60 are the least\)\. Give 6 m or more"):
        promise(blocks, 50.1, one_each(blocks))


def test_the_largest_block_keeps_its_promise() -> None:
    random = np.random.default_rng(6)
    kept = 0
    for _ in range(400):
        blocks = good(random.gumbel(size=30))
        found = promise(blocks, 1e6, one_each(blocks))
        kept += 1000 * np.exp(-found.threshold_logit) <= found.high_per_100m
    assert kept >= 0.95 * 400


def test_cloth_of_two_kinds_has_no_tail() -> None:
    random = np.random.default_rng(7)
    blocks = good(np.where(np.arange(400) % 25 == 0, 20.0, 0.0) + random.normal(0, 0.4, 400))
    with pytest.raises(InputError, match=r"no level was found .* defects among the good cloth"):
        promise(blocks, 3.0, one_each(blocks))


def test_a_few_rolls_that_differ_are_refused_and_many_are_not() -> None:
    random = np.random.default_rng(10)

    def of_rolls(rolls: int) -> BlockMaxima:
        roll = np.repeat(np.arange(rolls), 100)
        return good(random.gumbel(size=100 * rolls) + random.normal(0, 1.0, rolls)[roll], roll=roll)

    few = of_rolls(3)
    with pytest.raises(InputError, match=r"differ so much .* other rolls too \(it was 3 rolls of 30 m\)"):
        promise(few, 5.0, one_each(few))
    many = of_rolls(60)
    found = promise(many, 5.0, one_each(many))
    assert 1000 * np.exp(-found.threshold_logit + 0.5) <= 5.0  # the mean over all rolls: log-normal


@pytest.mark.parametrize("asked", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(asked: float) -> None:
    blocks = good(np.random.default_rng(8).gumbel(size=100))
    with pytest.raises(InputError, match="a number above 0"):
        promise(blocks, asked, one_each(blocks))


def test_a_rate_looser_than_the_level_is_refused() -> None:
    blocks = good(np.random.default_rng(9).gumbel(size=200))
    with pytest.raises(InputError, match="is more than good cloth gives above the level"):
        promise(blocks, 1e5, one_each(blocks))


def test_damaged_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="no numbers"):
        good(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="one row each"):
        BlockMaxima(np.ones(3), np.ones(2), np.zeros(3, np.int64), np.zeros(3, np.int64))
