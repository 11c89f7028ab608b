"""The judgement against recorded values of the published program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.glass.judge import average_image, average_tensor_to_bgr, judge

GOLDEN = Path(__file__).parents[1] / "golden"


def test_recorded_judgements() -> None:
    golden = np.load(GOLDEN / "distribution.npz")
    for image, flag, numbers, mask in zip(
        golden["images_bgr"], golden["flags"], golden["numbers"], golden["spectrum_mask"], strict=True
    ):
        result = judge(image)
        assert result.hypersphere == bool(flag)
        found = [result.mean_grey, result.points, result.side_x, result.side_y, result.radius, result.disc_points]
        found += [result.line_density, result.disc_density, float(result.hypersphere)]
        np.testing.assert_allclose(found, numbers, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(np.packbits(result.strong, axis=-1), mask)


@pytest.mark.parametrize("name", ["weave", "disc", "bar", "blocks", "disc_soft"])
def test_traced_judgements(name: str) -> None:
    golden = np.load(GOLDEN / "traces" / "judge.npz")
    result = judge(golden[f"{name}/image_bgr"])
    assert result.hypersphere == bool(golden[f"{name}/flag"])
    assert result.points == int(golden[f"{name}/points"])
    assert (result.side_x, result.side_y) == (int(golden[f"{name}/side_x"]), int(golden[f"{name}/side_y"]))
    assert result.radius == pytest.approx(float(golden[f"{name}/radius"]), abs=1e-12)
    assert result.line_density == pytest.approx(float(golden[f"{name}/l1_density"]), abs=1e-12)
    # the program adds 1e-10 to the denominator
    assert result.disc_density == pytest.approx(float(golden[f"{name}/l2_density"]), abs=1e-11)


def test_average_tensor() -> None:
    golden = np.load(GOLDEN / "distribution.npz")
    image = average_tensor_to_bgr(golden["mean_tensor"])
    assert np.abs(image.astype(int) - golden["mean_image_bgr"]).max() <= 1
    assert image.dtype == np.uint8


def test_a_black_image_has_no_points_and_is_a_manifold() -> None:
    result = judge(np.zeros((50, 60, 3), np.uint8))
    assert not result.hypersphere
    assert (result.points, result.side_x, result.side_y, result.radius) == (0, 0, 0, 0.0)
    assert result.picture().max() == 0


def test_picture_marks_the_points() -> None:
    golden = np.load(GOLDEN / "distribution.npz")
    result = judge(golden["images_bgr"][0])
    picture = result.picture()
    assert picture.shape == (289, 289, 3)
    marked = (picture == (255, 0, 0)).all(axis=2)
    assert not (marked & ~result.strong).any()
    assert marked[144, 144]
    circle = (picture == (0, 255, 0)).all(axis=2)
    distances = np.hypot(*(np.argwhere(circle) - 144).T)
    assert np.abs(distances - result.radius).max() < 2


def test_average_image_is_the_mean_of_squeezed_images() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((300, 500, 3), (64, 64, 3), (288, 288))]
    squeezed = [
        np.asarray(Image.fromarray(image).convert("RGB").resize((288, 288), Image.Resampling.BILINEAR))
        for image in images
    ]
    expected = sum(one.astype(int) for one in squeezed) // 3
    np.testing.assert_array_equal(average_image(iter(images)), expected[:, :, ::-1])
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_array_equal(average_image([red, red])[0, 0], [0, 0, 200])
    with pytest.raises(ValueError, match="no image"):
        average_image([])
