from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from glass_edge.errors import InputError
from glass_edge.glass import textures
from glass_edge.glass.procedural_textures import draw_pattern
from glass_edge.glass.textures import OPERATIONS, FolderTextures, ProceduralTextures, augment, draw_texture


@pytest.fixture
def photo() -> Image.Image:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(40, 200, (6, 9, 3), dtype=np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(smooth)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_every_operation_gives_an_rgb_image_of_the_same_size(name: str, photo: Image.Image) -> None:
    result = OPERATIONS[name](photo, np.random.default_rng(1))
    assert (result.size, result.mode) == (photo.size, "RGB")
    assert not np.array_equal(result, photo)


def test_operations_do_what_they_say(photo: Image.Image) -> None:
    pixels, rng = np.asarray(photo), np.random.default_rng(2)
    assert len(OPERATIONS) == 9
    assert np.array_equal(OPERATIONS["horizontal flip"](photo, rng), pixels[:, ::-1])
    assert np.array_equal(OPERATIONS["vertical flip"](photo, rng), pixels[::-1])
    grey = np.asarray(OPERATIONS["grey"](photo, rng))
    assert np.ptp(grey, axis=2).max() == 0
    stretched = np.asarray(OPERATIONS["autocontrast"](photo, rng))
    assert stretched.min() == 0
    assert stretched.max() == 255
    turned = np.asarray(OPERATIONS["rotation"](photo, np.random.default_rng(3)))
    assert (turned[0, 0] == 0).all()
    colours = {tuple(value) for value in pixels.reshape(-1, 3)} | {(0, 0, 0)}
    assert {tuple(value) for value in turned.reshape(-1, 3)} <= colours  # nearest neighbour invents no colour
    bright = np.asarray(OPERATIONS["brightness"](photo, np.random.default_rng(4)), float).mean() / pixels.mean()
    assert 0.8 <= bright <= 1.2


def test_three_distinct_operations_are_applied(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[str] = []

    def recorder(name: str) -> textures.Operation:
        def record(image: Image.Image, rng: np.random.Generator) -> Image.Image:
            applied.append(name)
            return OPERATIONS_BEFORE[name](image, rng)

        return record

    OPERATIONS_BEFORE = dict(OPERATIONS)
    monkeypatch.setattr(textures, "OPERATIONS", {name: recorder(name) for name in OPERATIONS})
    for seed in range(200):
        augment(photo, np.random.default_rng(seed))
    triples = [tuple(applied[i : i + 3]) for i in range(0, len(applied), 3)]
    assert len(triples) == 200
    assert all(len(set(triple)) == 3 for triple in triples)
    assert set(applied) == set(OPERATIONS_BEFORE)
    assert len({tuple(sorted(t)) for t in triples}) < len(set(triples))  # the order is drawn as well


def test_folder_textures_are_found_in_subfolders_and_cropped(tmp_path: Path, photo: Image.Image) -> None:
    (tmp_path / "banded").mkdir()
    photo.save(tmp_path / "banded" / "banded_0002.jpg")
    photo.convert("L").save(tmp_path / "grey.PNG")
    (tmp_path / "labels.txt").write_text("no image")
    source = FolderTextures(tmp_path)
    assert [path.name for path in source.files] == ["banded_0002.jpg", "grey.PNG"]
    one, two = (draw_texture(source, np.random.default_rng(7), 48, 112) for _ in range(2))
    assert (one.shape, one.dtype) == ((48, 112, 3), np.uint8)
    assert np.array_equal(one, two)


def test_bad_texture_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such texture folder"):
        FolderTextures(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no texture image"):
        FolderTextures(tmp_path)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(InputError, match=r"cut\.png: cannot be read as an image"):
        FolderTextures(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_file_that_is_no_image_is_named_before_anything_is_drawn(
    tmp_path: Path, photo: Image.Image, content: bytes
) -> None:
    for name in ("banded/1.jpg", "dotted/2.jpg"):
        (tmp_path / name).parent.mkdir()
        photo.save(tmp_path / name)
    (tmp_path / "dotted" / "3.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"dotted/3\.jpg: cannot be read as an image .*repair or remove it"):
        FolderTextures(tmp_path)


def test_dtd_is_read_as_it_is_unpacked(tmp_path: Path, photo: Image.Image) -> None:
    for name in ("images/banded/banded_0002.jpg", "images/zigzagged/zigzagged_0001.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        photo.save(tmp_path / name)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "train1.txt").write_text("banded/banded_0002.jpg")
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "imdb.mat").write_bytes(b"MATLAB")
    (tmp_path / "images" / "banded" / "._banded_0002.jpg").write_bytes(b"left by an archive")
    (tmp_path / "images" / "folder.jpg").mkdir()
    assert [path.name for path in FolderTextures(tmp_path).files] == ["banded_0002.jpg", "zigzagged_0001.jpg"]


def test_parts_of_a_folder_share_no_texture(tmp_path: Path, photo: Image.Image) -> None:
    for number in range(12):
        photo.save(tmp_path / f"{number:02d}.png")
    whole, training, held_out = (FolderTextures(tmp_path, part).files for part in ("all", "training", "held-out"))
    assert [path.stem for path in held_out] == ["04", "09"]
    assert sorted(training + held_out) == whole
    for number in range(8):
        (tmp_path / f"{number:02d}.png").unlink()
    assert len(FolderTextures(tmp_path, "held-out").files) == len(FolderTextures(tmp_path, "training").files) == 4


def test_a_truncated_texture_is_named(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"whole\.png: cannot be read"):
        draw_texture(FolderTextures(tmp_path), np.random.default_rng(0), 32, 32)


def test_patterns_repeat_vary_and_cover_the_range() -> None:
    drawn = [draw_pattern(np.random.default_rng(seed), 64, 96) for seed in range(60)]
    assert all(pattern.shape == (64, 96, 3) and pattern.dtype == np.uint8 for pattern in drawn)
    assert np.array_equal(drawn[3], draw_pattern(np.random.default_rng(3), 64, 96))
    assert len({pattern.tobytes() for pattern in drawn}) == 60
    means = [pattern.mean() for pattern in drawn]
    assert min(means) < 80
    assert max(means) > 170
    fine = [np.abs(np.diff(pattern.astype(float), axis=1)).mean() for pattern in drawn]
    assert max(fine) > 10 * min(fine)


def test_built_in_textures_need_no_files() -> None:
    texture = draw_texture(ProceduralTextures(), np.random.default_rng(1), 48, 64)
    assert (texture.shape, texture.dtype) == ((48, 64, 3), np.uint8)


def test_grey_textures_have_no_colour() -> None:
    coloured, grey = (
        [draw_texture(ProceduralTextures(), np.random.default_rng(s), 32, 32, grey=grey) for s in range(8)]
        for grey in (False, True)
    )
    assert max(int(np.ptp(texture, axis=2).max()) for texture in coloured) > 50
    assert all(not np.ptp(texture, axis=2).any() for texture in grey)
