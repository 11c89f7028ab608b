"""The lamp as a running station follows it: over restarts, lost lines and beyond its bound."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.lamp_drift import DriftingFlatField, DriftSettings, KnownLamp
from glass_edge.calibration.lamp_follower import LampFollower
from glass_edge.calibration.lamp_memory import load_memory, memory_path
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan

WIDTH, STEP = 400, 32
SPAN = ClothSpan(150, 400)
SETTINGS = DriftSettings(step_lines=STEP, settle_steps=4)
SHADE = np.linspace(150, 220, WIDTH)[:, None].astype(np.float32)
FLAT = FlatField(np.zeros((WIDTH, 1), np.float32), SHADE, 200.0)


def look(lamp: float, cloth: float = 120.0, steps: int = 1) -> np.ndarray:
    """Raw lines of a cloth beside a board of 180, under a lamp."""
    level = np.where(np.arange(WIDTH) < SPAN.left_px, 180.0, cloth)
    rows = np.random.default_rng(int(lamp * 1e6)).normal(level * lamp * SHADE[:, 0] / 200.0, 2.0, (steps * STEP, WIDTH))
    return np.clip(np.round(rows), 0, 255).astype(np.uint8)


def follower(path: Path, span: ClothSpan | None = SPAN, style: str = "twill") -> LampFollower:
    made = LampFollower(FLAT, path, span=lambda: span, style=style, settings=SETTINGS)
    made.begin()
    return made


def settle(one: LampFollower, lamp: float, cloth: float = 120.0, steps: int = 60) -> float:
    """Mean corrected cloth after some steps."""
    for _ in range(steps):
        out = one.apply(look(lamp, cloth))
    return float(out[:, SPAN.left_px :].mean())


@pytest.mark.parametrize("span", [SPAN, None])
def test_the_level_survives_a_restart(tmp_path: Path, span: ClothSpan | None) -> None:
    path = memory_path(tmp_path / "camera.flat.npz")
    assert path.name == "camera.flat.lamp.json"
    first = follower(path, span)
    assert settle(first, 1.0) == pytest.approx(120, rel=0.01)
    assert settle(first, 0.88) == pytest.approx(120, rel=0.01)
    first.end()
    assert first.take_faults() == ()
    second = follower(path, span)
    (told,) = second.take_faults()
    assert "88 % of its first light" in told
    assert second.apply(look(0.88))[:, SPAN.left_px :].mean() == pytest.approx(120, rel=0.01)  # from the first line on
    assert settle(second, 0.8) == pytest.approx(120, rel=0.01)
    assert second.take_faults() == ()
    assert second.drift.follows == ("beside" if span else "cloth")


def test_another_style_has_its_own_level_and_the_same_lamp(tmp_path: Path) -> None:
    path = tmp_path / "a.lamp.json"
    settle(one := follower(path, None), 1.0)
    settle(one, 0.85)
    one.end()
    other = follower(path, None, "satin")
    assert other.drift.known.cloth_dn is None
    assert settle(other, 0.85, cloth=70.0) == pytest.approx(70, rel=0.01)  # not what the weak lamp shows of it
    other.end()
    again = follower(path, None, "twill")
    assert settle(again, 0.85) == pytest.approx(120, rel=0.01)


def test_a_darker_cloth_is_no_lamp_where_there_is_something_beside_it(tmp_path: Path) -> None:
    one = follower(tmp_path / "a.json")
    settle(one, 1.0)
    assert settle(one, 1.0, cloth=90.0) == pytest.approx(90, rel=0.01)


def test_a_lamp_beyond_its_bound_is_told_once_and_once_when_it_is_over(tmp_path: Path) -> None:
    one = follower(tmp_path / "a.json")
    settle(one, 1.0)
    for _ in range(2):
        settle(one, 0.7)
        (told,) = one.take_faults()
        assert "has drifted to 7" in told
        assert "measure the flat field again" in told
        settle(one, 0.7)
        assert one.take_faults() == ()
        settle(one, 0.9)
        (told,) = one.take_faults()
        assert "made up for again" in told
    settle(one, 0.0)
    (told,) = one.take_faults()
    assert "black or saturated" in told
    settle(one, 0.9)
    assert one.take_faults() == ("the lamp is followed again",)


def test_a_lamp_that_was_too_weak_at_the_start_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    settle(one := follower(path), 1.0)
    one.end()
    late = follower(path)
    assert late.take_faults() == ()
    for _ in range(2):
        late.apply(look(0.7))
    assert "drifted to 70 %" in late.take_faults()[0]


def test_a_new_flat_field_forgets_and_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    settle(one := follower(path), 1.0)
    settle(one, 0.9)
    one.end()
    assert load_memory(path, FLAT.sha256).known(SPAN, "any").beside_dn == pytest.approx(180, rel=0.01)
    assert load_memory(path, FLAT.sha256).known(ClothSpan(100, 300), "twill").beside_dn is None
    assert load_memory(path, "another").known(SPAN, "twill") == KnownLamp()
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: not the memory of a lamp .*remove it"):
        follower(path)


def test_a_memory_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    one = follower(tmp_path / "nowhere" / "a.json")
    assert settle(one, 1.0) == pytest.approx(120, rel=0.01)
    assert settle(one, 0.85) == pytest.approx(120, rel=0.01)
    one.end()
    (told,) = one.take_faults()
    assert "cannot be kept" in told


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 40 * STEP - 1), max_size=12, unique=True),
    known=st.sampled_from([KnownLamp(), KnownLamp(1.1, 180.0, 120.0), KnownLamp(0.9, None, 118.0)]),
)
def test_lines_are_corrected_by_the_lines_alone(cuts: list[int], known: KnownLamp) -> None:
    lines = np.concatenate([look(1 - 0.005 * n) for n in range(40)])
    whole, parts = (DriftingFlatField(FLAT, SPAN, SETTINGS, known) for _ in range(2))
    expected = whole.apply(lines)
    got = np.concatenate([parts.apply(part) for part in np.split(lines, sorted(cuts))])
    np.testing.assert_array_equal(got, expected)
    assert (whole.known, whole.light) == (parts.known, parts.light)
    assert whole.gain != 1.0
