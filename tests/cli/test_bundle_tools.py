"""`glass-edge bundle keygen | sign | verify | show | diff`, and stations that require a signature."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from station_support import brightness_scores, make_bundle, save, spotted

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, ParityResult

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own(tmp_path: Path) -> Bundle:
    """A bundle this test may change."""
    return make_bundle(tmp_path / "engines")


@pytest.fixture
def mill(tmp_path: Path, run: Run) -> Path:
    """A private key; its public one lies beside it."""
    assert run("bundle", "keygen", tmp_path / "mill")[0] == 0
    return tmp_path / "mill.pem"


def public(private: Path) -> Path:
    return private.with_name(private.name.replace(".pem", ".pub.pem"))


def test_keygen_sign_verify(tmp_path: Path, own: Bundle, run: Run) -> None:
    code, out, _ = run("bundle", "keygen", tmp_path / "mill", "--json")
    made = json.loads(out)
    assert code == 0
    assert stat.S_IMODE(Path(made["private"]).stat().st_mode) == 0o600
    assert "PRIVATE" not in out
    assert run("bundle", "verify", own.folder, "--files-only")[1].endswith("not signed\n")
    code, out, err = run("bundle", "sign", own.folder, "--key", made["private"], "--signer", "Anna")
    assert (code, err) == (0, "")
    assert out.startswith(f"{own.folder / 'signature.json'}: signed by Anna, 20")
    code, out, _ = run("bundle", "verify", own.folder)
    assert code == 0
    assert f"key {made['key_id']}: fits, no trusted keys were given" in out
    assert "parity openvino f32" in out
    trust = ("--require-signature", "--trusted", made["public"])
    assert f"trusted ({made['public']})" in run("bundle", "verify", own.folder, *trust)[1]
    document = json.loads(run("bundle", "verify", own.folder, *trust, "--json")[1])
    assert [(one["signer"], one["trusted"]) for one in document["signatures"]] == [("Anna", True)]
    document = json.loads(run("bundle", "verify", own.folder, "--files-only", "--json")[1])
    assert [one["trusted"] for one in document["signatures"]] == [None]
    assert "signed by          Anna, 20" in run("bundle", "show", own.folder)[1]
    shown = json.loads(run("bundle", "show", own.folder, "--json")[1])
    assert shown["manifest_sha256"] == own.manifest_sha256
    assert shown["signatures"][0]["key_id"] == made["key_id"]


def test_a_signature_that_is_required_and_not_there_or_foreign(
    tmp_path: Path, own: Bundle, mill: Path, run: Run
) -> None:
    trust = ("--require-signature", "--trusted", public(mill))
    code, out, err = run("bundle", "verify", own.folder, *trust)
    assert (code, out) == (2, "")
    assert "signature.json: missing: the bundle is not signed" in err
    run("bundle", "keygen", tmp_path / "stranger")
    assert run("bundle", "sign", own.folder, "--key", tmp_path / "stranger.pem", "--signer", "the mill")[0] == 0
    code, out, err = run("bundle", "verify", own.folder, *trust)
    assert (code, out) == (2, "")
    assert "signed by the mill" in err
    assert "no trusted key" in err
    both = ("--trusted", tmp_path / "stranger.pub.pem")
    assert run("bundle", "verify", own.folder, "--files-only", *trust, *both)[0] == 0
    # the mill signs too: the stranger's signature stays, and one trusted key is enough
    assert run("bundle", "sign", own.folder, "--key", mill)[0] == 0
    code, out, _ = run("bundle", "verify", own.folder, "--files-only", *trust)
    assert code == 0
    assert out.count("signed by") == 2
    assert out.count("no trusted key") == 1


def test_damage_is_named_with_its_remedy(own: Bundle, mill: Path, run: Run) -> None:
    assert run("bundle", "sign", own.folder, "--key", mill)[0] == 0
    file = own.folder / "signature.json"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    for command in ("show", "verify"):
        code, out, err = run("bundle", command, own.folder)
        assert (code, out) == (2, "")
        assert f"{file}: not valid JSON, cut off or changed" in err
        assert "copy the bundle again, or remove the file and sign the bundle anew" in err
    assert run("bundle", "sign", own.folder, "--key", mill)[0] == 2
    file.unlink()
    assert run("bundle", "sign", own.folder, "--key", mill)[0] == 0


def test_only_a_sound_bundle_is_signed(tmp_path: Path, mill: Path, run: Run) -> None:
    wrong = make_bundle(tmp_path / "wrong", model_tile=(64, 64))
    code, _, err = run("bundle", "sign", wrong.folder, "--key", mill)
    assert code == 2
    assert "the graph takes" in err
    sound = make_bundle(tmp_path / "sound")
    golden = sound.golden()
    shifted = GoldenSet(golden.tiles, golden.maps + np.float32(3))
    contents = {MODEL_NAME: sound.model(), GOLDEN_NAME: shifted.to_bytes()}
    unlike = write_bundle(tmp_path / "unlike", sound.manifest, contents)
    code, _, err = run("bundle", "sign", unlike.folder, "--key", mill)
    assert code == 1
    assert "differs from the checkpoint" in err
    for one in (wrong, unlike):
        assert not (one.folder / "signature.json").exists()
    assert run("bundle", "sign", unlike.folder, "--key", mill, "--files-only")[0] == 0


def test_passphrases(tmp_path: Path, own: Bundle, run: Run) -> None:
    word = tmp_path / "word"
    word.write_text("open sesame\nnot this line\n")
    secret = ("--passphrase-file", word)
    assert run("bundle", "keygen", tmp_path / "mill", *secret)[0] == 0
    assert b"ENCRYPTED" in (tmp_path / "mill.pem").read_bytes()
    sign = ("bundle", "sign", own.folder, "--files-only", "--key", tmp_path / "mill.pem")
    assert run(*sign, *secret)[0] == 0
    code, _, err = run(*sign)
    assert code == 2
    assert "is encrypted; give its passphrase (--passphrase-file)" in err
    word.write_text("")
    assert "first line is empty" in run(*sign, *secret)[2]
    word.unlink()
    assert "cannot be read" in run(*sign, *secret)[2]


def test_a_private_key_that_others_can_read_is_warned_of(own: Bundle, mill: Path, run: Run) -> None:
    mill.chmod(0o644)
    code, _, err = run("bundle", "sign", own.folder, "--files-only", "--key", mill)
    assert code == 0
    assert f"warning: {mill}: others may read or write the private key (mode 0644); chmod 600" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--trusted", "k.pem"), "add --require-signature"),
        (("--require-signature",), "add --trusted KEYFILE"),
        (("--require-signature", "--trusted", "absent.pem"), "absent.pem: no such file"),
    ],
)
def test_options_that_would_say_nothing(own: Bundle, run: Run, options: tuple[str, ...], words: str) -> None:
    code, _, err = run("bundle", "verify", own.folder, *options)
    assert code == 2
    assert words in err


def test_show_tells_the_evidence(tmp_path: Path, own: Bundle, run: Run) -> None:
    threshold = own.manifest.threshold.model_copy(update={"n_blocks": 20, "quantile": 0.95, "good_cloth_lines": 1920})
    parity = ParityResult(
        runtime="openvino",
        precision="bf16",
        max_abs_logit_error=0.5,
        mean_abs_logit_error=0.1,
        tolerance=0.25,
        alarm_cells_changed=3,
        passed=False,
    )
    changes = {"threshold": threshold, "parity": (parity,), "metrics": {"pixel_auroc": 0.9}, "version": "2"}
    contents = {name: own.read(name) for name in own.manifest.files}
    richer = write_bundle(tmp_path / "engines", own.manifest.model_copy(update=changes), contents)
    out = run("bundle", "show", richer.folder)[1]
    for words in (
        "quantile 0.95 of 20 blocks, 1920 lines",
        "openvino bf16 FAILED: largest logit error 0.5 (0.25 allowed), mean 0.1, 3 golden cells",
        "pixel_auroc 0.9",
        f"{(richer.folder / MODEL_NAME).stat().st_size:,} bytes",
        richer.manifest.files[MODEL_NAME],
        "signed by          nobody",
    ):
        assert words in out


def test_diff_of_equal_bundles(own: Bundle, run: Run) -> None:
    code, out, _ = run("bundle", "diff", own.folder, own.folder.parent)
    assert (code, "the same manifest, 2 files and signatures" in out) == (0, True)
    document = json.loads(run("bundle", "diff", own.folder, own.folder, "--run", "--json")[1])
    assert document["equal"] is True
    assert [one["max_abs"] for one in document["logits"]] == [0.0, 0.0]


def test_diff_names_all_that_changed(tmp_path: Path, own: Bundle, mill: Path, run: Run) -> None:
    threshold = own.manifest.threshold.model_copy(update={"logit": 0.75})
    changes = {"version": "2", "threshold": threshold, "metrics": {"pixel_auroc": 0.9}}
    contents = {name: own.read(name) for name in own.manifest.files} | {"notes.txt": b"new"}
    golden = own.golden()
    contents[GOLDEN_NAME] = GoldenSet(golden.tiles[:2], golden.maps[:2]).to_bytes()
    newer = write_bundle(tmp_path / "engines", own.manifest.model_copy(update=changes), contents)
    assert run("bundle", "sign", newer.folder, "--key", mill, "--signer", "Anna")[0] == 0
    code, out, _ = run("bundle", "diff", own.folder, newer.folder, "--run")
    assert code == 0
    for words in ("threshold.logit", "+0.75", "metrics.pixel_auroc", "Anna", "notes.txt", "1 files are the same"):
        assert words in out
    document = json.loads(run("bundle", "diff", own.folder, newer.folder, "--run", "--json")[1])
    changed = {one["name"]: (one["a"], one["b"]) for one in document["values"]}
    assert changed.pop("signed by")[1].startswith("Anna, ")
    assert changed == {
        "version": ("1", "2"),
        "threshold.logit": (0.0, 0.75),
        "metrics.pixel_auroc": (None, 0.9),
    }
    assert [one["name"] for one in document["files"]] == [GOLDEN_NAME, "notes.txt"]
    assert document["files"][1]["a"] is None
    # the same graph: no logit differs, and the alarms are those of the two thresholds on each one's tiles
    inside = brightness_scores(golden.tiles)[:, 4:-4, 4:-4]
    for one, maps in zip(document["logits"], (inside, inside[:2]), strict=True):
        assert one["max_abs"] == 0.0
        assert (one["tiles"], one["cells"]) == (len(maps), maps.size)
        assert one["alarm_cells_a"] == np.count_nonzero(maps >= 0)
        assert one["alarm_cells_b"] == np.count_nonzero(maps >= 0.75)
        assert one["alarm_cells_changed"] == np.count_nonzero((maps >= 0) & (maps < 0.75))


def test_diff_measures_another_network(tmp_path: Path, run: Run) -> None:
    one = make_bundle(tmp_path / "a")
    golden = one.golden()
    gain = one.model().replace(np.float32(5.0).tobytes(), np.float32(4.5).tobytes())  # a logit of 0.5 more everywhere
    assert gain != one.model()
    lifted = GoldenSet(golden.tiles, golden.maps + np.float32(0.5))
    other = write_bundle(tmp_path / "b", one.manifest, {MODEL_NAME: gain, GOLDEN_NAME: lifted.to_bytes()})
    document = json.loads(run("bundle", "diff", one.folder, other.folder, "--run", "--json")[1])
    for logits in document["logits"]:
        assert logits["max_abs"] == pytest.approx(0.5, abs=1e-4)
        assert logits["mean_abs"] == pytest.approx(0.5, abs=1e-4)
        assert logits["alarm_cells_changed"] == logits["alarm_cells_b"] - logits["alarm_cells_a"]


def test_diff_of_other_tiles(tmp_path: Path, own: Bundle, run: Run) -> None:
    wider = make_bundle(tmp_path / "wider", tile=(64, 128))
    assert "tile.width_px" in run("bundle", "diff", own.folder, wider.folder)[1]
    code, out, err = run("bundle", "diff", own.folder, wider.folder, "--run")
    assert (code, out) == (2, "")
    assert "64 x 96 px" in err
    assert "64 x 128 px" in err
    assert "add --run" in run("bundle", "diff", own.folder, wider.folder, "--precision", "bf16")[2]


def station_file(folder: Path, sockets: Path, bundle: Bundle, engine: str) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'station = "loom1"\nroll_id = "R-5"\nbundle = "{bundle.folder}"\n[camera]\nkind = "replay"\npath = "i"\n'
        "[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f'[events]\njournal = "journal"\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        f'[output]\nfolder = "."\n[engine]\n{engine}\n'
    )
    return path


def test_a_station_that_requires_a_signature(tmp_path: Path, sockets: Path, own: Bundle, mill: Path, run: Run) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50)]))
    # the key's path is relative to the station file
    station = station_file(tmp_path, sockets, own, 'require_signature = true\ntrusted_keys = ["mill.pub.pem"]')
    commands = (
        ("run", "--config", station),
        ("config", "check", station),
        ("replay", tmp_path / "i", "--station", station, "--out", tmp_path / "replay"),
    )
    for command in commands:
        code, _, err = run(*command)
        assert code == 2, command
        assert f"{own.folder / 'signature.json'}: missing: the bundle is not signed" in err
    assert not (tmp_path / "journal").exists()
    run("bundle", "keygen", tmp_path / "stranger")
    run("bundle", "sign", own.folder, "--key", tmp_path / "stranger.pem")
    for command in commands:
        code, _, err = run(*command)
        assert (code, "no trusted key" in err) == (2, True), command
    assert not (tmp_path / "journal").exists()
    run("bundle", "sign", own.folder, "--key", mill)
    for command in commands:
        code, _, err = run(*command)
        assert code == 0, err
    assert run("config", "show", station)[1].count('mill.pub.pem"]') == 1


@pytest.mark.parametrize(
    "half",
    [
        ("require_signature = true", "trusts nobody without trusted_keys"),
        ('trusted_keys = ["mill.pub.pem"]', "count for nothing without require_signature = true"),
    ],
)
def test_half_a_rule_in_a_station_file(
    tmp_path: Path, sockets: Path, bundle: Bundle, run: Run, half: tuple[str, str]
) -> None:
    engine, words = half
    code, _, err = run("config", "check", station_file(tmp_path, sockets, bundle, engine))
    assert code == 2
    assert "station.toml" in err
    assert words in err
