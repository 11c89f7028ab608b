from __future__ import annotations

import math

import numpy as np
import pytest
from golden_weights import arrays, close

from glass_edge.glass.perlin import draw_perlin, perlin_from_angles, rotate


@pytest.mark.parametrize("index", range(4))
def test_first_set(index: int) -> None:
    golden = arrays("perlin")
    noise = golden[f"noise_{index}"]
    close(perlin_from_angles(golden[f"angles_{index}"], *noise.shape), noise, absolute=1e-12)


@pytest.mark.parametrize("size", ["64x64_4x8", "96x64_1x32"])
def test_second_set(size: str) -> None:
    golden = arrays("traces/perlin")
    noise = golden[f"noise_{size}"]
    angles = 2 * math.pi * golden[f"turns_{size}"]
    close(perlin_from_angles(angles, *noise.shape), noise, absolute=1e-6)


def test_sizes_that_are_no_multiple_of_the_lattice_are_cut_from_a_larger_one() -> None:
    cut = draw_perlin(np.random.default_rng(5), 48, 272, (32, 4))
    full = draw_perlin(np.random.default_rng(5), 64, 288, (32, 4))
    assert np.array_equal(cut, full[:48, :272])
    assert cut.std() > 0.1


def test_lattice_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="48 x 64 px cannot be divided into 32 x 4 cells"):
        perlin_from_angles(np.zeros((33, 5)), 48, 64)


def test_rotation_is_about_the_centre_and_fills_with_zero() -> None:
    values = np.random.default_rng(0).random((33, 33))
    assert np.allclose(rotate(values, 90), np.rot90(values), atol=1e-6)
    assert np.allclose(rotate(values, 0), values)
    turned = rotate(np.ones((32, 64)), 45)
    assert turned[0, 0] == 0
    assert turned[16, 32] == pytest.approx(1)
