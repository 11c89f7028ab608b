"""Checkpoints survive a crash, come back as they were, and are refused when they were touched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_recipes import filled_model, make_recipe, random_tiles

from glass_edge.errors import InputError
from glass_edge.glass import checkpoint as module
from glass_edge.glass.checkpoint import (
    CheckpointInfo,
    load_checkpoint,
    load_golden_tiles,
    load_reference,
    portable_files,
    save_checkpoint,
)

RECIPE = make_recipe(model={"hidden": 16, "shrinkage": 0.1})
INFO = CheckpointInfo(
    epoch=3, training_data_sha256="ab" * 32, holdout=("train/good/7.png",), metrics={"tile_auroc": 0.97}
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoint"
    save_checkpoint(folder, filled_model(RECIPE), RECIPE, INFO, random_tiles(2, RECIPE))
    return folder


def reseal(folder: Path, **changes: object) -> None:
    """Change `checkpoint.json` and its own hash along with it."""
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text()) | changes
    del document["sha256"]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(document | {"sha256": digest}))


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_everything_comes_back(saved: Path) -> None:
    for path in (saved, saved.parent):
        model, recipe, info = load_checkpoint(path)
        assert (recipe, info) == (RECIPE, INFO)
        original = filled_model(RECIPE).state_dict()
        stored = model.state_dict()
        assert set(stored) == set(original)
        assert all(torch.equal(stored[name], original[name]) for name in original)
        assert not any(part.training for part in model.modules())
    tiles = load_golden_tiles(saved)
    assert tiles is not None
    np.testing.assert_array_equal(tiles, random_tiles(2, RECIPE))


def test_a_checkpoint_needs_no_weights_file(tmp_path: Path) -> None:
    model = filled_model(RECIPE)
    lost = RECIPE.backbone.model_copy(update={"weights": str(tmp_path / "gone.pth")})
    recipe = RECIPE.model_copy(update={"backbone": lost})
    model.backbone.weights_origin = "gone.pth"
    save_checkpoint(tmp_path / "c", model, recipe, INFO)
    loaded, _, _ = load_checkpoint(tmp_path / "c")
    assert loaded.backbone.weights_origin == "gone.pth"
    assert torch.equal(loaded.backbone.body.conv_stem.weight, model.backbone.body.conv_stem.weight)


def test_the_reference_scores_as_the_model_that_was_saved(saved: Path) -> None:
    tiles = random_tiles(2, RECIPE, seed=8)
    with torch.no_grad():
        expected = filled_model(RECIPE)(torch.from_numpy(tiles)).numpy()
    found = load_reference(saved.parent)(tiles)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_a_new_checkpoint_takes_the_place_of_the_old_one(saved: Path) -> None:
    later = INFO.model_copy(update={"epoch": 4})
    save_checkpoint(saved, filled_model(RECIPE, seed=1), RECIPE, later)
    model, _, info = load_checkpoint(saved)
    assert info.epoch == 4
    assert torch.equal(model.state_dict()["head.adaptor.bias"], filled_model(RECIPE, seed=1).glass_head.adaptor.bias)
    assert len(list(saved.iterdir())) == 3  # nothing of the old one is left but its golden tiles
    assert load_golden_tiles(saved) is not None
    save_checkpoint(saved, model, RECIPE, INFO.model_copy(update={"training_data_sha256": "cd" * 32}))
    assert load_golden_tiles(saved) is None  # tiles of other cloth are no evidence


@pytest.mark.parametrize("step", ["write_bytes", "write_json"])
def test_a_crash_while_saving_leaves_the_last_good_one(saved: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def crash(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, crash)
        with pytest.raises(OSError, match="power cut"):
            save_checkpoint(saved, filled_model(RECIPE, seed=1), RECIPE, INFO.model_copy(update={"epoch": 9}))
    model, _, info = load_checkpoint(saved)
    assert info == INFO
    assert torch.equal(model.state_dict()["head.adaptor.bias"], filled_model(RECIPE).glass_head.adaptor.bias)


def test_cut_off_and_changed_files_are_named(saved: Path) -> None:
    weights = only(saved, "weights-*")
    content = weights.read_bytes()
    for damaged in (content[:-100], content[:-1] + bytes([content[-1] ^ 1]), b""):
        weights.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{weights.name}: SHA-256 .*cut off or changed; take the file from"):
            load_checkpoint(saved)
    weights.unlink()
    with pytest.raises(InputError, match=rf"{weights.name}: cannot be read"):
        load_checkpoint(saved)
    golden = only(saved, "golden-*")
    golden.write_bytes(b"PK")
    with pytest.raises(InputError, match=golden.name):
        load_golden_tiles(saved)


def test_a_touched_description_is_refused(saved: Path) -> None:
    path = saved / "checkpoint.json"
    text = path.read_text()
    path.write_text(text.replace('"epoch": 3', '"epoch": 30'))
    with pytest.raises(InputError, match=r"checkpoint\.json: its content does not fit its own SHA-256"):
        load_checkpoint(saved)
    path.write_text(text[:300])
    with pytest.raises(InputError, match=r"checkpoint\.json: not valid JSON"):
        load_checkpoint(saved)
    path.unlink()
    with pytest.raises(InputError, match="give the folder that 'glass-edge train' made"):
        load_checkpoint(saved)


def test_another_format_and_another_architecture_are_refused(saved: Path) -> None:
    document = json.loads((saved / "checkpoint.json").read_text())
    reseal(saved, format_version=3)
    with pytest.raises(InputError, match=r"format_version = 3.*update the program"):
        load_checkpoint(saved)
    reseal(saved, format_version=1)
    with pytest.raises(InputError, match=r"format_version = 1.*train the style again"):
        load_checkpoint(saved)
    wider = make_recipe(levels=(4, 8), model={"hidden": 32}).model_dump(mode="json")
    reseal(saved, format_version=2, recipe=wider)
    with pytest.raises(
        InputError, match=r"not the weights of this network.*head\.discriminator\.hidden\.weight|missing"
    ):
        load_checkpoint(saved)
    reseal(saved, recipe=document["recipe"] | {"colour": "red"})
    with pytest.raises(InputError, match=r"unknown key 'recipe\.colour'"):
        load_checkpoint(saved)


def test_golden_tiles_of_another_shape_are_no_part_of_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="golden tiles"):
        save_checkpoint(tmp_path, filled_model(RECIPE), RECIPE, INFO, np.zeros((1, 16, 16, 1), np.uint8))
    assert not (tmp_path / "checkpoint.json").exists()


def test_what_travels_in_a_bundle_names_no_folder_of_the_training_machine(tmp_path: Path) -> None:
    data = RECIPE.data.model_copy(update={"folder": Path("/srv/mill/twill")})
    recipe = RECIPE.model_copy(update={"data": data})
    save_checkpoint(tmp_path / "a", filled_model(recipe), recipe, INFO)
    (tmp_path / "b").mkdir()
    for name, content in portable_files(tmp_path / "a").items():
        (tmp_path / "b" / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    assert b"/srv/mill" not in (tmp_path / "b" / "checkpoint.json").read_bytes()
    tiles = random_tiles(1, recipe)
    np.testing.assert_array_equal(load_reference(tmp_path / "b")(tiles), load_reference(tmp_path / "a")(tiles))
