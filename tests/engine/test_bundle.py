"""A bundle appears whole, and only an untouched one loads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.engine.base import TileShapeError
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest, is_safe_name
from glass_edge.errors import InputError


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and make its own hash fit, as a program with another idea of the format would."""
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    text = json.dumps(document).encode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def test_what_was_written_is_read(bundle: Bundle, manifest: Manifest, model: bytes, golden: GoldenSet) -> None:
    loaded = load_bundle(bundle.folder)
    assert loaded.folder.parts[-3:] == ("engines", "twill", "1")
    assert loaded.model() == model
    assert loaded.model_sha256 == hashlib.sha256(model).hexdigest()
    np.testing.assert_array_equal(loaded.golden().tiles, golden.tiles)
    np.testing.assert_array_equal(loaded.golden().maps, golden.maps)
    assert loaded.manifest == manifest.model_copy(update={"files": loaded.manifest.files})


def test_coreutils_agree_with_the_hashes(bundle: Bundle) -> None:
    subprocess.run(["sha256sum", "--strict", "-c", "manifest.sha256"], cwd=bundle.folder, check=True)
    for name, digest in bundle.manifest.files.items():
        output = subprocess.run(["sha256sum", name], cwd=bundle.folder, check=True, capture_output=True, text=True)
        assert output.stdout.split()[0] == digest


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_in_any_file_is_refused_by_name(bundle: Bundle, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(bundle.folder.iterdir())))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(original)
    changed[position] ^= flip
    path.write_bytes(changed)
    try:
        with pytest.raises(InputError) as caught:
            load_bundle(bundle.folder)
        assert path.name in str(caught.value)
        assert "SHA-256" in str(caught.value)
    finally:
        path.write_bytes(original)
    load_bundle(bundle.folder)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "model.onnx", "golden.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "longer"])
def test_a_damaged_file_is_named(bundle: Bundle, name: str, damage: str) -> None:
    path = bundle.folder / name
    content = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "longer":
            path.write_bytes(content + b"\0")
    with pytest.raises(InputError, match=name):
        load_bundle(bundle.folder)


def test_a_changed_file_names_both_hashes(bundle: Bundle) -> None:
    expected = bundle.manifest.files[MODEL_NAME]
    (bundle.folder / MODEL_NAME).write_bytes(b"other")
    with pytest.raises(InputError, match=f"{hashlib.sha256(b'other').hexdigest()}.*{expected}"):
        load_bundle(bundle.folder)


def test_a_file_changed_after_loading_is_not_read(bundle: Bundle) -> None:
    path = bundle.folder / MODEL_NAME
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"model\.onnx: SHA-256"):
        bundle.model()


def test_unlisted_files_and_links_are_refused(bundle: Bundle) -> None:
    extra = bundle.folder / "notes.txt"
    extra.write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt: not listed"):
        load_bundle(bundle.folder)
    extra.unlink()
    extra.symlink_to(bundle.folder / MODEL_NAME)
    with pytest.raises(InputError, match=r"notes\.txt: a bundle must hold no links"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=2), ["format_version = 2", "version 1", "update the program"]),
        (lambda d: d.update(format_version=0), ["format_version = 0", "rebuild the bundle"]),
        (lambda d: d.pop("format_version"), ["'format_version' is missing"]),
        (lambda d: d.update(colour="red"), ["unknown key 'colour'"]),
        (lambda d: d["tile"].update(halo=3), ["unknown key 'tile.halo'"]),
        (lambda d: d["tile"].update(height_px=50), ["tile.height_px = 50", "multiple of 16"]),
        (lambda d: d["threshold"].pop("logit"), ["'threshold.logit' is missing"]),
        (lambda d: d["files"].pop(MODEL_NAME), ["'model.onnx' is not listed"]),
        (lambda d: d["files"].update({"../x": "0" * 64}), ["'../x' is no path inside the bundle"]),
        (lambda d: d["files"].update({"/etc/passwd": "0" * 64}), ["'/etc/passwd' is no path inside the bundle"]),
        (lambda d: d["files"].update({"x": "abc"}), ["64 lower-case hex digits"]),
        (lambda d: d["files"].update({"manifest.json": "0" * 64}), ["'manifest.json' cannot list itself"]),
        (lambda d: d["files"].update({"more/x.bin": "0" * 64}), ["more/x.bin", "missing"]),
    ],
)
def test_a_wrong_manifest_names_the_key(
    bundle: Bundle, change: Callable[[dict[str, Any]], object], words: list[str]
) -> None:
    rewrite_manifest(bundle.folder, change)
    with pytest.raises(InputError) as caught:
        load_bundle(bundle.folder)
    message = str(caught.value)
    assert str(bundle.folder) in message
    for word in words:
        assert word in message


def test_a_manifest_that_is_no_json_says_where(bundle: Bundle) -> None:
    text = (bundle.folder / "manifest.json").read_bytes()[:300]
    (bundle.folder / "manifest.json").write_bytes(text)
    (bundle.folder / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    with pytest.raises(InputError, match=r"manifest\.json: not valid JSON: .*line \d+"):
        load_bundle(bundle.folder)
    deep = b"[" * 200_000
    (bundle.folder / "manifest.json").write_bytes(deep)
    (bundle.folder / "manifest.sha256").write_text(f"{hashlib.sha256(deep).hexdigest()}  manifest.json\n")
    with pytest.raises(InputError, match=r"manifest\.json: not valid JSON: .*recursion"):
        load_bundle(bundle.folder)


@given(st.text(max_size=12) | st.sampled_from(["a/../b", "a//b", "./a", "a/", "..", "C:a", "a\\b", "a\0b"]))
def test_safe_names_stay_inside(name: str) -> None:
    if is_safe_name(name):
        joined = os.path.normpath(f"/bundle/{name}")
        assert joined == f"/bundle/{name}"
        assert "\0" not in name
    else:
        assert name.strip("abcdefghijklmnopqrstuvwxyz") or not name


def test_the_newest_version_of_a_style_is_taken(
    bundle: Bundle, manifest: Manifest, model: bytes, golden: GoldenSet, tmp_path: Path
) -> None:
    contents = {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes()}
    for version in ("9", "10"):
        write_bundle(tmp_path / "engines", manifest.model_copy(update={"version": version}), contents)
    assert load_bundle(bundle.folder.parent).manifest.version == "10"
    # a damaged newest version is an error, never a silent step back
    (bundle.folder.parent / "10" / MODEL_NAME).unlink()
    with pytest.raises(InputError, match=r"10/model\.onnx: missing"):
        load_bundle(bundle.folder.parent)


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        load_bundle(tmp_path)


def test_a_moved_bundle_still_loads(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "stick")
    assert load_bundle(tmp_path / "stick").manifest == bundle.manifest


def test_a_version_is_never_overwritten(bundle: Bundle, manifest: Manifest, golden: GoldenSet) -> None:
    before = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    with pytest.raises(InputError, match="never overwritten"):
        write_bundle(bundle.folder.parents[1], manifest, {MODEL_NAME: b"new", GOLDEN_NAME: golden.to_bytes()})
    assert {path.name: path.read_bytes() for path in bundle.folder.iterdir()} == before


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", "manifest.json", "a/../../b"])
def test_writing_outside_is_refused(
    tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet, name: str
) -> None:
    contents: dict[str, bytes | Path] = {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes(), name: b"x"}
    with pytest.raises(InputError, match="files"):
        write_bundle(tmp_path / "engines", manifest, contents)
    assert not (tmp_path / "engines").exists()


def test_a_failed_write_leaves_nothing(tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet) -> None:
    missing = tmp_path / "no.safetensors"
    contents: dict[str, bytes | Path] = {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes(), "checkpoint/w": missing}
    with pytest.raises(InputError, match=r"no\.safetensors"):
        write_bundle(tmp_path / "engines", manifest, contents)
    assert list((tmp_path / "engines" / "twill").iterdir()) == []
    for bad in (golden.to_bytes()[:200], b"", GoldenSet(golden.tiles[:, :32], golden.maps).to_bytes()):
        with pytest.raises(InputError, match=r"golden\.npz"):
            write_bundle(tmp_path / "engines", manifest, {MODEL_NAME: model, GOLDEN_NAME: bad})
        assert list((tmp_path / "engines" / "twill").iterdir()) == []
    with pytest.raises(InputError, match=r"needs 'golden\.npz'"):
        write_bundle(tmp_path / "engines", manifest, {MODEL_NAME: model})


def test_files_in_sub_folders_are_carried(tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(b"w" * 1000)
    contents: dict[str, bytes | Path] = {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes(), "checkpoint/w": source}
    bundle = write_bundle(tmp_path / "engines", manifest, contents)
    assert bundle.read("checkpoint/w") == b"w" * 1000
    (bundle.folder / "checkpoint/w").write_bytes(b"v" * 1000)
    with pytest.raises(InputError, match="checkpoint/w"):
        load_bundle(bundle.folder)
    with pytest.raises(InputError, match="no file 'other'"):
        bundle.read("other")


def test_golden_sets_are_checked(golden: GoldenSet, manifest: Manifest) -> None:
    wrong_maps = GoldenSet(golden.tiles, golden.maps[:, :-1])
    with pytest.raises(TileShapeError, match=r"maps are float32 \(5, 11, 24\); float32 \(5, 12, 24\)"):
        wrong_maps.check(manifest.tile)
    with pytest.raises(InputError, match="NaN"):
        GoldenSet(golden.tiles, np.full_like(golden.maps, np.nan)).check(manifest.tile)
    with pytest.raises(InputError, match="no tiles"):
        GoldenSet(golden.tiles[:0], golden.maps[:0]).check(manifest.tile)
    assert golden.to_bytes() == golden.to_bytes()
