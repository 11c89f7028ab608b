"""`glass-edge calibrate`: what a person types, with good and bad input."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))

from printed_target import LineCamera, printed

from glass_edge.acquisition.camera import EndOfLinesError
from glass_edge.acquisition.loom.loom_camera import LoomCamera
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.recorder import RecordingCamera, RingSettings
from glass_edge.calibration.cloth_look import load_look
from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.line_scale import load_scale

Run = Callable[..., tuple[int, str, str]]
WIDTH = 512


def save(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)).save(path)
    return path


def white(lines: int = 128, level: float = 200.0, seed: int = 0) -> np.ndarray:
    shape = 1 - 0.3 * np.linspace(-1, 1, WIDTH) ** 2
    return level * shape + 4 + np.random.default_rng(seed).normal(0, 1.5, (lines, WIDTH))


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_pictures_the_steps_are_told(run: Run) -> None:
    for command, word in (("flat-field", "white board"), ("scale", "Print")):
        code, out, _ = run("calibrate", command)
        assert code == 0
        assert word in out
        assert "  1. " in out
        assert "  5. " in out


def test_flat_field_writes_profile_and_picture(tmp_path: Path, run: Run) -> None:
    board, dark = save(tmp_path / "white.png", white()), save(tmp_path / "dark.png", white(level=0.0))
    out = tmp_path / "camera.flat.npz"
    arguments = ("calibrate", "flat-field", board, "--dark", dark, "--out", out, "--camera-serial", "S1")
    code, text, err = run(*arguments)
    assert code == 0, err
    assert "next: look at the picture" in text
    profile = FlatField.load(out)
    assert (profile.width_px, profile.camera_serial) == (WIDTH, "S1")
    assert set(profile.references) == {"white.png", "dark.png"}
    with Image.open(tmp_path / "camera.flat.before-after.png") as picture:
        assert picture.size[0] == 1200
    code, _, err = run(*arguments)
    assert code == 2
    assert "exists" in err
    code, text, _ = run(*arguments, "--force", "--json")
    assert code == 0
    document = json.loads(text)
    assert document["uneven_before"] > 0.08
    assert document["uneven_after"] < 0.005


def test_a_bad_reference_writes_nothing(tmp_path: Path, run: Run) -> None:
    cases = {
        "saturated": white(level=300),
        "too dark": white(level=40),
        "striped or dirty": np.where(np.arange(WIDTH) // 8 == 20, 0.8, 1.0) * white(),
        "lines are too few": white(lines=20),
    }
    for reason, image in cases.items():
        folder = tmp_path / reason
        folder.mkdir()
        board = save(folder / "white.png", image)
        code, out, err = run("calibrate", "flat-field", board, "--out", folder / "a.npz")
        assert (code, out) == (2, "")
        assert reason in err
        assert left_over(folder) == {"white.png"}
    board = save(tmp_path / "white.png", white())
    for wrong, message in (
        (("--width-px", "1024", "--out", tmp_path / "a.npz"), "the camera's line has 1024"),
        (("--out", tmp_path / "a.txt"), "ends in .npz"),
        (("--out", tmp_path / "none" / "a.npz"), "does not exist"),
        (("--out", tmp_path / "a.npz", "--target-grey", "400"), "1 to 255"),
        ((), "--out is missing"),
        (("--dark", tmp_path / "absent.png", "--out", tmp_path / "a.npz"), "absent.png: no such file"),
    ):
        code, _, err = run("calibrate", "flat-field", board, *wrong)
        assert code == 2
        assert message in err
    assert not list(tmp_path.glob("a.*"))


def test_target_and_scale(tmp_path: Path, run: Run) -> None:
    code, out, err = run("calibrate", "target", tmp_path / "t", "--width-mm", "60", "--pitch-mm", "2", "--lines", "9")
    assert code == 0, err
    assert left_over(tmp_path) == {"t.pdf", "t.svg", "t.json"}
    assert "a page of 80 x 86 mm" in out

    rects = printed((tmp_path / "t.svg").read_text())
    picture = {}
    for name, start in (("a", 6.0), ("b", 26.0)):
        camera = LineCamera(WIDTH, lambda c, start=start: start + c * 0.1, 0.15, 0.3)
        picture[name] = save(tmp_path / f"{name}.png", camera.look(rects, (80, 86), 620, -4.0))
    common = ("--target", tmp_path / "t.json")
    code, out, err = run("calibrate", "scale", picture["a"], *common, "--out", tmp_path / "a.scale.json")
    assert code == 0, err
    assert "next: mm_per_px = 0." in out
    found = load_scale(tmp_path / "a.scale.json")
    assert found.mm_per_px == pytest.approx(0.1, rel=0.001)
    assert found.mm_per_line == pytest.approx(0.15, rel=0.001)
    assert (tmp_path / "a.scale.before-after.png").is_file()
    code, out, err = run(
        *("calibrate", "scale", picture["b"], *common, "--out", tmp_path / "b.scale.json"),
        *("--beside", tmp_path / "a.scale.json", "--printed-across-mm", "58", "--json"),
    )
    assert code == 0, err
    cameras = json.loads(out)["cameras"]
    assert [one["name"] for one in cameras] == ["a.scale.json", "b.scale.json"]
    assert cameras[0]["overlap_right_mm"] == pytest.approx(31.2, abs=0.05)
    before = left_over(tmp_path)
    for arguments, message in (
        (
            (save(tmp_path / "a.png", white(300)), *common, "--out", tmp_path / "c.json"),
            "code of the target is not found",
        ),
        ((picture["b"], *common, "--out", tmp_path / "c.json", "--printed-across-mm", "90"), "far from the 58 mm"),
        ((picture["b"], "--target", tmp_path / "a.scale.json", "--out", tmp_path / "c.json"), "calibrate target"),
        ((picture["b"], "--out", tmp_path / "c.json"), "--target"),
        ((picture["b"], *common, "--out", tmp_path / "b.scale.json"), "exists"),
        ((picture["b"], *common, "--out", tmp_path / "t.json", "--force"), "is an input"),
    ):
        code, _, err = run("calibrate", "scale", *arguments)
        assert code == 2
        assert message in err
    assert run("calibrate", "target", tmp_path / "t")[0] == 2
    assert run("calibrate", "target", tmp_path / "u", "--pitch-mm", "0.1")[0] == 2
    assert left_over(tmp_path) == before


def cloth(seed: int, mm_per_line: float = 0.1) -> np.ndarray:
    spec = LoomSpec(
        "twill21", 1024, 0.1, mm_per_line, ends_per_cm=20, picks_per_cm=16, section_lines=256, seed=seed, camera_seed=1
    )
    return LoomRenderer(spec).render(0, 256)


def test_learn_and_check(tmp_path: Path, run: Run) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for seed in range(2):
        save(good / f"{seed}.png", cloth(seed))
    look = tmp_path / "twill.look.json"
    code, out, err = run("calibrate", "learn", good, "--out", look, "--style", "twill")
    assert code == 0, err
    assert "the weave repeats every 1" in out
    same, fast = save(tmp_path / "same.png", cloth(5)), save(tmp_path / "fast.png", cloth(5, 0.15))
    code, out, err = run("calibrate", "check", look, same)
    assert code == 0, err
    assert "same.png: fits" in out
    code, out, _ = run("calibrate", "check", look, same, fast)
    assert code == 1
    assert "fast.png: scale_along: " in out
    assert run("calibrate", "check", look, fast, "--limit", "scale_along=0.6")[0] == 0
    for wrong, message in (("scale=0.6", "with one of focus,"), ("focus=2", "less than 1"), ("focus", "NAME=VALUE")):
        code, _, err = run("calibrate", "check", look, fast, "--limit", wrong)
        assert code == 2
        assert f"--limit {wrong}: " in err
        assert message in err
    code, out, _ = run("calibrate", "check", look, fast, "--json")
    assert code == 1
    document = json.loads(out)
    assert not document["fits"]
    assert "scale_along" in {one["alarm"] for one in document["pictures"][0]["alarms"]}


def test_learn_from_a_recording(tmp_path: Path, run: Run) -> None:
    spec = LoomSpec("twill21", 512, 0.1, 0.1, ends_per_cm=20, picks_per_cm=16, section_lines=1300, sections=1)
    ring = RingSettings(tmp_path / "recording", 64 << 20, 1 << 20)
    with (
        RecordingCamera(LoomCamera(spec, block_lines=200), ring, mm_per_px=0.1, mm_per_line=0.1) as camera,
        contextlib.suppress(EndOfLinesError),
    ):
        while True:
            camera.read(1.0)
    look, flat = tmp_path / "look.json", tmp_path / "f.npz"
    code, out, err = run("calibrate", "learn", ring.folder, "--out", look)
    assert code == 0, err
    assert "2 pictures" in out  # of 512 lines; the rest is too short
    lines = LoomRenderer(spec).render(0, 1300)
    # a picture begins with a block of 200 lines
    pictures = [save(tmp_path / f"{first}.png", lines[first : first + 512]) for first in (0, 600)]
    known, again = load_look(look), tmp_path / "again.json"
    assert run("calibrate", "learn", *pictures, "--out", again)[0] == 0
    different = {"references", "created_utc"}
    assert known.model_dump(exclude=different) == load_look(again).model_dump(exclude=different)
    assert set(known.references) == {path.name for path in ring.folder.iterdir()}
    FlatField(np.zeros((512, 1), np.float32), np.full((512, 1), 100, np.float32), 200.0).save(flat)
    assert run("calibrate", "learn", ring.folder, "--out", look, "--force", "--flat-field", flat)[0] == 0
    other = load_look(look)
    assert other.flat_field_sha256 == FlatField.load(flat).sha256
    assert other.mean_grey == known.mean_grey  # it was corrected when it was recorded
    assert run("calibrate", "check", look, ring.folder, "--flat-field", flat)[0] == 0


def test_learn_and_check_refuse_what_does_not_belong(tmp_path: Path, run: Run) -> None:
    look = tmp_path / "look.json"
    good = save(tmp_path / "good.png", cloth(0))
    assert run("calibrate", "learn", good, "--out", look)[0] == 0
    flat = tmp_path / "f.npz"
    FlatField(np.zeros((1024, 1), np.float32), np.full((1024, 1), 200, np.float32), 200.0).save(flat)
    narrow = save(tmp_path / "narrow.png", cloth(0)[:, :512])
    short = save(tmp_path / "short.png", cloth(0)[:64])
    empty = save(tmp_path / "empty.png", np.full((256, 1024), 255.0))
    for arguments, message in (
        (("check", look, narrow), "512 px wide"),
        (("check", look, short), "128 lines or more"),
        (("check", look, empty), "no cloth"),
        (("check", look, good, "--flat-field", flat), "learnt without a flat field"),
        (("check", flat, good), "not the look of a style"),
        (("check", look, narrow, good), "all must come from one camera"),
        (("learn", good, "--out", look), "exists"),
        (
            ("learn", good, save(tmp_path / "fast.png", cloth(1, 0.15)), cloth_file(tmp_path), "--out", "x.json"),
            "another in",
        ),
    ):
        code, _, err = run("calibrate", *arguments)
        assert code == 2, arguments
        assert message in err
    assert not Path("x.json").exists()
    assert run("calibrate", "learn", good, "--out", look, "--force", "--flat-field", flat)[0] == 0
    assert run("calibrate", "check", look, good, "--flat-field", flat)[0] == 0


def cloth_file(folder: Path) -> Path:
    return save(folder / "third.png", cloth(2))
