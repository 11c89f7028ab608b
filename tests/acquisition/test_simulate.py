import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from glass_edge.acquisition.images import list_images
from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.output import write_dataset, write_strip
from glass_edge.acquisition.loom.png import PngStream
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.cli import simulate
from glass_edge.errors import InputError


def run(*arguments: str) -> None:
    app = typer.Typer()
    simulate.register(app)
    app(args=list(arguments), standalone_mode=False)


def test_png_is_read_back_by_pillow(tmp_path: Path) -> None:
    lines = np.random.default_rng(2).integers(0, 256, (1000, 333), dtype=np.uint8)
    with (tmp_path / "a.png").open("wb") as stream:
        png = PngStream(stream, 333, 1000)
        for start in (0, 1, 700, 700, 999):
            stop = {0: 1, 1: 700, 700: 999, 999: 1000}[start]
            if start != 700 or png._written == 700:
                png.write(lines[start:stop])
        png.finish()
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), lines)


def test_png_refuses_to_finish_short(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as stream:
        png = PngStream(stream, 8, 4)
        png.write(np.zeros((3, 8), np.uint8))
        with pytest.raises(ValueError, match="3 of 4"):
            png.finish()


def test_strip_mask_and_truth_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "strip"
    run(
        str(out), "--cloth", "plain", "--width-px", "400", "--metres", "0.06", "--mm-per-px", "0.1",
        "--background", "table", "--defects", "hole:2@3x2,broken_pick:1@15x0", "--json",
    )  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    truth = json.loads((out / "truth.json").read_text())
    assert printed == truth | {"out": str(out)}
    assert sorted(p.name for p in out.iterdir()) == ["mask.png", "strip.png", "truth.json"]
    with Image.open(out / "strip.png") as strip, Image.open(out / "mask.png") as image:
        assert strip.size == image.size == (400, 600)
        mask = np.asarray(image)
    assert set(np.unique(mask)) == {0, 255}
    assert [d["kind"] for d in truth["defects"]].count("hole") == 2
    left = truth["left_selvedge_px"]
    for defect in truth["defects"]:
        box = defect["box_px"]
        assert defect["across_mm"] == pytest.approx((box["left_px"] - left) * 0.1)
        assert defect["along_mm"] == pytest.approx(box["first_line"] * 0.1)
        assert mask[box["first_line"] : box["end_line"], box["left_px"] : box["right_px"]].any()
        mask = mask.copy()
        mask[box["first_line"] : box["end_line"], box["left_px"] : box["right_px"]] = 0
    assert not mask.any()
    assert [path.name for path in list_images([out])] == ["strip.png"]  # what a replay of the folder plays


def test_data_set_has_the_mvtec_layout(tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(
        str(out), "--cloth", "satin", "--width-px", "300", "--lines", "200", "--good", "3", "--test-good", "2",
        "--defects", "stain:2@4x4,hole:1@2x2",
    )  # fmt: skip
    found = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert found == [
        "ground_truth/hole/0000_mask.png", "ground_truth/stain/0000_mask.png", "ground_truth/stain/0001_mask.png",
        "test/good/0000.png", "test/good/0001.png", "test/hole/0000.png", "test/stain/0000.png", "test/stain/0001.png",
        "train/good/0000.png", "train/good/0001.png", "train/good/0002.png",
    ]  # fmt: skip
    images = {name: np.asarray(Image.open(out / name)) for name in found}
    strips = [image for name, image in images.items() if not name.startswith("ground_truth")]
    assert len({image.tobytes() for image in strips}) == len(strips)
    for name, image in images.items():
        assert image.shape == (200, 300)
        if name.startswith("ground_truth"):
            assert image.any()
    listed = json.loads((out / "dataset.json").read_text())["images"]
    assert {entry["image"] for entry in listed} == {n for n in found if not n.startswith("ground_truth")}
    assert all(len(e["defects"]) == (0 if "/good/" in e["image"] else 1) for e in listed)


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    def interrupt(lines: int) -> None:
        if lines:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_strip(LoomSpec(width_px=100, section_lines=600), tmp_path / "a", interrupt)
    with pytest.raises(InputError, match="do not fit"):
        write_dataset(
            LoomSpec(width_px=100, section_lines=64, defects=parse_orders("stain:1@50x2")),
            tmp_path / "b", good=1, test_good=1,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_used_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        run(str(tmp_path / "a"), "--cloth", "plain")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lines", "9", "--metres", "1"],
        ["--test-good", "2"],
        ["--metres", "-1"],
        ["--background", "sky"],
        ["--good", "0"],
    ],
)
def test_contradictions_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(InputError):
        run(str(tmp_path / "out"), "--cloth", "plain", *arguments)
    assert list(tmp_path.iterdir()) == []
