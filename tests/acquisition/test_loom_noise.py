import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.acquisition.loom.noise import clouds, key_of, normal, uniform, wave


def test_uniform_is_uniform_and_uncorrelated() -> None:
    values = uniform(key_of(1, "a"), np.arange(400)[:, None], np.arange(500)[None, :]).astype(np.float64)
    assert abs(values.mean() - 0.5) < 0.005
    assert abs(values.var() - 1 / 12) < 0.002
    for shifted in (values[1:] * values[:-1], values[:, 1:] * values[:, :-1]):
        assert abs(shifted.mean() - 0.25) < 0.005


def test_normal_has_unit_variance() -> None:
    values = normal(key_of(2), np.arange(100_000)).astype(np.float64)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


@given(st.integers(-(2**40), 2**40), st.integers(1, 60), st.integers(0, 50))
def test_wave_belongs_to_its_place(start: int, n: int, cut: int) -> None:
    yarns = np.arange(3)
    positions = start + np.arange(n) / 7.0
    cut = min(cut, n)
    whole = wave(9, yarns, positions)
    parts = np.concatenate([wave(9, yarns, positions[:cut]), wave(9, yarns, positions[cut:])], axis=1)
    np.testing.assert_array_equal(whole, parts)
    assert np.abs(whole).max() <= 1


def test_wave_is_smooth_and_streams_differ() -> None:
    x = np.arange(1000) / 100.0
    one, other = wave(key_of(1, "x"), np.array([0]), x)[0], wave(key_of(1, "y"), np.array([0]), x)[0]
    assert np.abs(np.diff(one)).max() < 0.04
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.9
    assert not np.array_equal(one, other)


def test_clouds_agree_with_wave_on_lattice_rows() -> None:
    columns = np.arange(50) / 9.0
    np.testing.assert_allclose(clouds(4, np.array([3.0, 5.0]), columns), wave(4, np.array([3, 5]), columns), atol=1e-6)
