from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from glass_edge.glass.features import (
    FeatureSpec,
    LinearFeatures,
    level_convolution,
    level_matrices,
    patch_features,
    patch_vectors,
    pooling_matrix,
    to_points,
)

CASES = [
    FeatureSpec((128, 256), 1536, 1536),
    FeatureSpec((512, 1024), 1536, 1536),
    FeatureSpec((24, 40), None, None),
    FeatureSpec((24, 40), 64, 96),
    FeatureSpec((16, 24, 40), 50, 64),  # 150 values to 64: rows straddle both borders of the levels
    FeatureSpec((24, 40, 112), None, 200),
    FeatureSpec((40,), None, 64),
    FeatureSpec((24,), 100, None),
    FeatureSpec((24, 40), None, None, finest_only=True),
    FeatureSpec((24, 40, 112), 30, 64, finest_only=True),
]


def maps(spec: FeatureSpec, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [(9, 14), (5, 7), (3, 4)]
    return [
        torch.randn(2, count, *size, generator=generator) for count, size in zip(spec.channels, sizes, strict=False)
    ]


@pytest.mark.parametrize("spec", CASES)
def test_linear_form_equals_the_published_order(spec: FeatureSpec) -> None:
    levels = maps(spec)
    expected = patch_features(levels, spec)
    assert expected.shape == (2, spec.n_features, 9, 14)
    assert torch.allclose(LinearFeatures(spec)(levels), expected, atol=3e-6)


@pytest.mark.parametrize("spec", CASES)
def test_matrices_keep_a_constant(spec: FeatureSpec) -> None:
    total = sum(matrix.sum(axis=1) for matrix in level_matrices(spec))
    assert np.allclose(total, 1, atol=1e-12)


def test_without_neighbours_a_coarse_level_is_resized_as_it_is() -> None:
    spec = FeatureSpec((4, 6), None, None, finest_only=True)
    fine, coarse = maps(spec)
    expected = F.interpolate(coarse, (9, 14), mode="bilinear", align_corners=False)
    assert spec.n_features == 4 * 9 + 6
    assert torch.equal(patch_features([fine, coarse], spec)[:, 36:], expected)


def test_groups_of_the_published_backbones() -> None:
    for channels, groups, outputs in (((512, 1024), (256, 256), 768), ((128, 256), (128, 256), 768)):
        matrices = level_matrices(FeatureSpec(channels, 1536, 1536))
        forms = [level_convolution(matrix, count) for matrix, count in zip(matrices, channels, strict=True)]
        assert tuple(form.groups for form in forms) == groups
        assert [form.first_row for form in forms] == [0, outputs]
        assert all(len(form.weight) == outputs for form in forms)


def test_rows_of_resnet18_are_the_weights_worked_out_by_hand() -> None:
    coarse = level_matrices(FeatureSpec((128, 256), 1536, 1536))[1][768:]
    assert np.allclose(coarse[5, 15:18], [0.25, 0.5, 0.25])
    fine = level_matrices(FeatureSpec((128, 256), 1536, 1536))[0]
    assert np.allclose(fine[4, 6:8], [0.75, 0.25])
    assert np.allclose(fine[5, 7:9], [0.25, 0.75])
    assert np.count_nonzero(fine[4]) == np.count_nonzero(fine[5]) == 2


@pytest.mark.parametrize(("n_in", "n_out"), [(1152, 1536), (9, 4), (7, 7), (4608, 1536), (3, 10)])
def test_pooling_matrix_equals_adaptive_pooling(n_in: int, n_out: int) -> None:
    values = torch.randn(5, n_in, dtype=torch.float64)
    expected = F.adaptive_avg_pool1d(values[:, None], n_out)[:, 0]
    assert torch.allclose(values @ torch.from_numpy(pooling_matrix(n_in, n_out)).T, expected, atol=1e-12)


def test_patch_entry_order_and_zero_border() -> None:
    level = torch.arange(2 * 3 * 4, dtype=torch.float32).view(1, 2, 3, 4) + 1
    vectors = patch_vectors(level)
    assert vectors[0, 9 * 1 + 3 * 0 + 2, 1, 1] == level[0, 1, 0, 2]
    assert vectors[0, 9 * 0 + 3 * 2 + 1, 2, 3] == 0


def test_points_are_ordered_image_row_column() -> None:
    values = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    points = to_points(values)
    assert points.shape == (16, 3)
    assert torch.equal(points[1 * 8 + 1 * 4 + 2], values[1, :, 1, 2])
