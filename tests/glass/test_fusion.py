"""The fused head against the recordings and against the unfused model."""

from __future__ import annotations

import pytest
import torch
from golden_weights import arrays, close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_recipes import PUBLISHED, filled_model, golden_model, make_recipe, random_tiles

from glass_edge.glass.fusion import FusedModel, affine_head, fusion_error

FIRST_SET = [
    ("inference_resnet18", "resnet18"),
    ("inference_resnet18_72x104", "resnet18"),
    ("inference_wide_resnet50_2", "wide_resnet50_2"),
]
SECOND_SET = [
    ("resnet18", ""),
    ("resnet18", "_72x72"),
    ("resnet18", "_64x96"),
    ("resnet18", "_288x288"),
    ("wide_resnet50_2", ""),
    ("wide_resnet50_2", "_96x96"),
]


@pytest.mark.parametrize(("file", "name"), FIRST_SET)
def test_recorded_logits_and_the_recorded_error_of_fusion(file: str, name: str) -> None:
    golden = arrays(file)
    model = golden_model(name, ordered=True)
    fused = FusedModel(model)
    with torch.no_grad():
        logits = fused(torch.from_numpy(golden["image_uint8"]))
    close(logits, golden["logits"], absolute=5e-5)
    # float32 rounding of another summation order: of the size that was recorded, not more
    assert fusion_error(model, fused, golden["image_uint8"]) <= 3 * float(golden["fused_max_abs_err"])


@pytest.mark.parametrize(("name", "size"), SECOND_SET)
def test_recorded_logits_of_the_second_set(name: str, size: str) -> None:
    golden = arrays(f"traces/forward_{name}{size}")
    with torch.no_grad():
        logits = FusedModel(golden_model(name, ordered=False))(torch.from_numpy(golden["image_u8"]))
    close(logits, golden["logits"], absolute=5e-5)


@pytest.mark.slow
def test_the_form_is_the_cheaper_one() -> None:
    pooled = FusedModel(filled_model(make_recipe("resnet18", (8, 16), model=PUBLISHED)))
    assert [part.is_factored for part in pooled.head.levels] == [True, True]
    assert [part.neighbourhood.groups for part in pooled.head.levels] == [128, 256]
    # grouped 3 x 3 and 1 x 1: 6912 + 6912 weights of neighbourhoods, 2 x 768 x 1024 to mix, 1024 of the output
    n_weights = sum(buffer.numel() for name, buffer in pooled.head.named_buffers() if name.endswith("weight"))
    assert n_weights == 2 * 768 * 9 + 2 * 768 * 1024 + 1024
    stacked = FusedModel(filled_model(make_recipe(levels=(4, 16), model={"neighbours": "all"})))
    assert [part.is_factored for part in stacked.head.levels] == [False, False]
    # of a coarser level without neighbours the middle taps alone are left
    finest = FusedModel(filled_model(make_recipe(levels=(4, 16))))
    assert [part.is_factored for part in finest.head.levels] == [False, True]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    levels=st.sets(st.sampled_from([2, 4, 8, 16]), min_size=1, max_size=3),
    level_width=st.sampled_from([0, 24, 40]),
    width=st.sampled_from([0, 30, 47]),
    whiten=st.booleans(),
    prior=st.sampled_from(["none", "whitened", "adapted"]),
    neighbours=st.sampled_from(["finest", "all"]),
    exposure=st.sampled_from(["tile", "camera"]),
    method=st.sampled_from(["glass", "glass", "mahalanobis"]),
)
def test_any_recipe_fuses_exactly(
    *,
    levels: set[int],
    level_width: int,
    width: int,
    whiten: bool,
    prior: str,
    neighbours: str,
    exposure: str,
    method: str,
) -> None:
    recipe = make_recipe(
        levels=tuple(levels),
        model={
            "level_width": level_width,
            "width": width,
            "hidden": 24,
            "whiten": whiten or prior == "whitened",
            "prior": prior,
            "neighbours": neighbours,
            "shrinkage": 0.1,
        },
        training={"method": method},
        tile={"height_px": 48, "width_px": 80, "halo_px": 0, "channels": 1, "exposure": exposure},
    )
    model = filled_model(recipe).double()
    fused = FusedModel(model)
    fused.head.double()
    tiles = random_tiles(2, recipe, seed=9)
    with torch.no_grad():
        largest = float(model(torch.from_numpy(tiles)).abs().max())
    # all sums in float64: what is left is the float32 the fused weights are stored in
    assert fusion_error(model, fused, tiles) <= 2e-6 * max(1.0, largest)


def test_rows_of_the_affine_head_are_hidden_values_and_prior() -> None:
    model = filled_model(make_recipe(model={"hidden": 8, "prior": "whitened"}))
    affine = affine_head(model.head)
    points = torch.randn(5, 216, generator=torch.Generator().manual_seed(3)).double()
    rows = points.numpy() @ affine.matrix.T + affine.bias
    head = model.glass_head.double()
    white = head.whiten(points)
    hidden = head.discriminator.hidden_activations(head.adaptor(white))
    close(rows[:, :8], hidden.detach().numpy(), of_max=1e-9)
    close(rows[:, 8:], white.detach().numpy(), of_max=1e-9)
