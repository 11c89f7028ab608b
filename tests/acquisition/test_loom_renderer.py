import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.camera import EndOfLinesError
from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.loom_camera import LoomCamera
from glass_edge.acquisition.loom.quilting import quilt
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import Background, LoomSpec
from glass_edge.errors import InputError

ORDERS = "broken_pick:1@20x0,missing_end:1@0x12,slub:1@7x1.2,hole:1@3x2,stain:1@5x6,float:1@5x0.6"


def spec(cloth: str = "twill22", **changes: object) -> LoomSpec:
    values: dict[str, object] = {
        "cloth": cloth,
        "width_px": 480,
        "section_lines": 420,
        "defects": parse_orders(ORDERS),
        "background": Background.WHITE,
        "seed": 5,
    }
    return LoomSpec(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["twill22", "photo:canvas"])
def renderer(request: pytest.FixtureRequest) -> LoomRenderer:
    return LoomRenderer(spec(request.param))


@pytest.fixture(scope="module")
def whole(renderer: LoomRenderer) -> tuple[np.ndarray, np.ndarray]:
    return renderer.render(0, 420), renderer.mask(0, 420)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_content_does_not_depend_on_blocks(
    data: st.DataObject, renderer: LoomRenderer, whole: tuple[np.ndarray, np.ndarray]
) -> None:
    first = data.draw(st.integers(0, 419))
    n_lines = data.draw(st.integers(1, min(90, 420 - first)))
    np.testing.assert_array_equal(renderer.render(first, n_lines), whole[0][first : first + n_lines])
    np.testing.assert_array_equal(renderer.mask(first, n_lines), whole[1][first : first + n_lines])


def test_same_seed_same_strip_other_seed_another(renderer: LoomRenderer) -> None:
    again = LoomRenderer(renderer.spec)
    np.testing.assert_array_equal(again.render(100, 60), renderer.render(100, 60))
    other = LoomRenderer(spec(renderer.spec.cloth, seed=6))
    assert (other.render(100, 60) != renderer.render(100, 60)).mean() > 0.3


def test_masks_cover_what_changed_and_little_else(renderer: LoomRenderer) -> None:
    good = renderer.radiance(0, 420, with_defects=False)
    change = np.abs(renderer.radiance(0, 420) / good - 1)
    left, width = renderer.frame.left_px, renderer.frame.cloth_px
    mask = renderer.mask(0, 420)[:, left : left + width] > 0
    assert not renderer.mask(0, 420)[:, :left].any()
    for truth in renderer.truths_between(0, 420):
        part = truth.fault.reach(5)
        box = np.s_[max(0, part.top) : part.bottom, max(0, part.left) : part.right]
        inside, changed = mask[box], change[box]
        # Outside of the mask a change is faint (the soft edge); inside most pixels change.
        assert changed[~inside].sum() < 0.12 * changed[inside].sum(), truth
        assert (changed[inside] > 0.02).mean() > 0.5, truth
    reach = np.zeros_like(mask)
    for truth in renderer.truths_between(0, 420):
        part = truth.fault.reach(5)
        reach[max(0, part.top) : part.bottom, max(0, part.left) : part.right] = True
    assert change[~reach].max() == 0


def test_truth_boxes_are_the_masks_boxes_and_sizes_are_those_asked_for(renderer: LoomRenderer) -> None:
    mask = renderer.mask(0, 420)
    truths = renderer.truths_between(0, 420)
    assert len(truths) == 6
    counted = 0
    for truth in truths:
        box = truth.box_px
        inside = mask[box.first_line : box.end_line, box.left_px : box.right_px] > 0
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
        counted += int(inside.sum())
        size = (box.right_px - box.left_px, box.end_line - box.first_line)
        asked = {"hole": (30, 20), "stain": (50, 60), "slub": (70, 12)}.get(truth.fault.kind)
        if asked:
            assert abs(size[0] - asked[0]) <= (2 if truth.fault.kind != "slub" else 6)
            assert abs(size[1] - asked[1]) <= 2
    assert counted == int((mask > 0).sum())


@pytest.mark.parametrize("cloth", ["plain", "photo:linen"])
@pytest.mark.parametrize("contrast", [0.08, 0.3])
def test_contrast_is_the_mean_relative_change_over_the_mask(cloth: str, contrast: float) -> None:
    loom = LoomRenderer(spec(cloth, contrast=contrast))
    good = loom.radiance(0, 420, with_defects=False)
    change = np.abs(loom.radiance(0, 420) / good - 1)
    left, width = loom.frame.left_px, loom.frame.cloth_px
    mask = loom.mask(0, 420)[:, left : left + width] > 0
    for truth in loom.truths_between(0, 420):
        box = truth.box_px
        place = np.s_[box.first_line : box.end_line, box.left_px - left : box.right_px - left]
        measured = change[place][mask[place]].mean()
        assert measured == pytest.approx(truth.contrast, rel=0.01)
        assert truth.contrast == pytest.approx(contrast, rel=0.1), truth


def test_weave_is_in_the_picture_at_the_given_density() -> None:
    loom = LoomRenderer(spec("plain", width_px=1000, section_lines=1000, defects=(), background=Background.NONE))
    strip = loom.render(0, 1000).astype(float)
    along = (np.abs(np.fft.rfft(strip - strip.mean(0), axis=0)) ** 2).mean(1)
    across = (np.abs(np.fft.rfft(strip - strip.mean(1, keepdims=True), axis=1)) ** 2).mean(0)
    # 20 picks and 24 ends a cm over 100 mm; plain weave alternates, so its repeat is two yarns.
    assert int(along[50:].argmax()) + 50 in (100, 200)
    assert int(across[50:].argmax()) + 50 in (120, 240)


def test_cloth_stays_inside_its_selvedges() -> None:
    loom = LoomRenderer(spec(background=Background.DARK))
    strip = loom.render(0, 200)
    left, right = loom.frame.edges(0, 200)
    assert left.min() >= loom.frame.left_px
    assert right.max() <= loom.frame.left_px + loom.frame.cloth_px
    assert strip[:, : loom.frame.left_px].max() < 20
    assert strip[:, int(left.max()) + 2 : int(right.min()) - 2].min(axis=0).mean() > 30


def test_noise_is_that_of_photons_and_reading() -> None:
    loom = LoomRenderer(spec(defects=(), background=Background.NONE))
    signal = loom.signal(0, 300)
    noise = loom.render(0, 300) - signal
    middle = (signal > 60) & (signal < 240)
    expected = np.sqrt(0.6**2 + 255 / 20_000 * signal[middle].mean() + 1 / 12)
    assert noise[middle].std() == pytest.approx(expected, rel=0.05)
    assert abs(noise[middle].mean()) < 0.05


def test_quilt_continues_at_its_edges_and_uses_the_sample() -> None:
    random = np.random.default_rng(1)
    sample = np.kron(random.random((32, 32)), np.ones((4, 4))).astype(np.float32)
    out = quilt(sample, min_height=150, min_width=120, patch=48, overlap=12, seed=3)
    assert out.shape[0] >= 150
    assert out.shape[1] >= 120
    assert set(np.unique(out)) <= set(np.unique(sample))
    inner = np.abs(np.diff(out, axis=0)).mean()
    assert np.abs(out[0] - out[-1]).mean() < 2.5 * inner


def test_camera_plays_the_renderers_lines_and_ends() -> None:
    camera = LoomCamera(spec(sections=2, section_lines=210), block_lines=64)
    assert camera.is_simulated
    blocks = []
    with camera:
        while True:
            try:
                block = camera.read(30.0)
            except EndOfLinesError:
                break
            assert block is not None
            blocks.append(block)
    assert [b.first_line for b in blocks] == list(range(0, 420, 64))
    assert [b.starts_segment for b in blocks] == [True] + [False] * (len(blocks) - 1)
    strip = np.concatenate([b.lines for b in blocks])
    np.testing.assert_array_equal(strip, camera.renderer.render(0, 420))
    boxes = [t.box_px.first_line for t in camera.renderer.truths_between(0, 420)]
    assert len(boxes) == 12
    assert sum(line >= 210 for line in boxes) == 6


def test_endless_loom_has_defects_in_every_section() -> None:
    loom = LoomRenderer(spec(sections=None))
    far = 420 * 123_456
    assert len(loom.truths_between(far, far + 420)) == 6
    assert loom.mask(far, 420).any()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"width_px": 10}, "width_px"),
        ({"mm_per_px": 0.0}, "mm_per_px"),
        ({"mm_per_line": float("nan")}, "mm_per_line"),
        ({"contrast": 1.5}, "contrast"),
        ({"ends_per_cm": 80.0}, "2 pixels a yarn"),
        ({"section_lines": 0}, "section_lines"),
        ({"cloth": "tweed"}, "tweed"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        spec(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["hole:0", "hole:1@3", "flaw:2", "hole:1@0x3", "hole:1@1.2.3x2", "hole 3", "stain:9999"]
)
def test_wrong_orders_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_orders(text)


@pytest.mark.parametrize("text", ["hole:300@2x2", "stain:1@90x2", "missing_end:1@0x90"])
def test_defects_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"free place|do not fit"):
        LoomRenderer(spec(defects=parse_orders(text)))


def test_missing_photograph_is_refused() -> None:
    with pytest.raises(InputError, match="canvas, rib"):
        LoomRenderer(spec("photo:velvet"))
