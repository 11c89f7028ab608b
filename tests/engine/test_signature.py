"""A signature vouches for one manifest, and OpenSSL agrees."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.keys import KeyPair, key_id, read_private_key, read_trusted_keys, write_key_pair
from glass_edge.engine.manifest import MODEL_NAME
from glass_edge.engine.signature import from_bytes
from glass_edge.engine.signing import sign_bundle
from glass_edge.engine.trust import require_trusted
from glass_edge.errors import InputError

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl binary here")


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return write_key_pair(tmp_path / "mill")


@pytest.fixture
def key(pair: KeyPair) -> Ed25519PrivateKey:
    return read_private_key(pair.private)


@pytest.fixture
def signed(bundle: Bundle, key: Ed25519PrivateKey) -> Bundle:
    sign_bundle(bundle, key, "Änne of the mill", NOW)
    return load_bundle(bundle.folder)


@pytest.fixture
def deep(tmp_path: Path, bundle: Bundle, key: Ed25519PrivateKey) -> Bundle:
    """Signed, with a file in a folder of its own."""
    contents: dict[str, bytes | Path] = {name: bundle.read(name) for name in bundle.manifest.files}
    made = write_bundle(tmp_path / "deep", bundle.manifest, contents | {"checkpoint/w.bin": bytes(range(256))})
    sign_bundle(made, key, None, NOW)
    return load_bundle(made.folder)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def openssl(*arguments: object, data: bytes = b"") -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def signature_document(bundle: Bundle) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle.folder / "signature.json").read_text(encoding="utf-8"))
    return document


def message_by_hand(bundle: Bundle, one: dict[str, Any]) -> bytes:
    digest = hashlib.sha256((bundle.folder / "manifest.json").read_bytes()).hexdigest()
    return (
        f"glass-edge bundle signature v1\nmanifest.json sha256 {digest}\nkey {one['key_id']}\n"
        f"signed {one['signed_utc']}\nsigner {one['signer'] or ''}\n"
    ).encode()


@needs_openssl
def test_openssl_accepts_what_is_signed_here(signed: Bundle, pair: KeyPair, tmp_path: Path) -> None:
    (one,) = signature_document(signed)["signatures"]
    (tmp_path / "message").write_bytes(message_by_hand(signed, one))
    (tmp_path / "signature").write_bytes(bytes.fromhex(one["signature"]))
    check = ("pkeyutl", "-verify", "-pubin", "-inkey", pair.public, "-rawin", "-in", tmp_path / "message")
    assert b"Verified Successfully" in openssl(*check, "-sigfile", tmp_path / "signature")
    der = openssl("pkey", "-pubin", "-in", pair.public, "-outform", "DER")
    assert one["key_id"] == hashlib.sha256(der).hexdigest() == pair.key_id
    assert bytes.fromhex(one["public_key"]) == der[-32:]
    (tmp_path / "message").write_bytes(message_by_hand(signed, one | {"signer": "Anna"}))
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*check, "-sigfile", tmp_path / "signature")


@needs_openssl
def test_what_openssl_signs_is_accepted_here(bundle: Bundle, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "o.pem")
    openssl("pkey", "-in", tmp_path / "o.pem", "-pubout", "-out", tmp_path / "o.pub.pem")
    der = openssl("pkey", "-pubin", "-in", tmp_path / "o.pub.pem", "-outform", "DER")
    one: dict[str, Any] = {
        "algorithm": "ed25519",
        "key_id": hashlib.sha256(der).hexdigest(),
        "public_key": der[-32:].hex(),
        "signed_utc": "2026-01-31T23:59:59Z",
        "signer": None,
    }
    (tmp_path / "message").write_bytes(message_by_hand(bundle, one))
    raw = openssl("pkeyutl", "-sign", "-inkey", tmp_path / "o.pem", "-rawin", "-in", tmp_path / "message")
    document = {"format_version": 1, "signatures": [one | {"signature": raw.hex()}]}
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    (bundle.folder / "signature.json").write_text(text)
    trusted = read_trusted_keys([tmp_path / "o.pub.pem"])
    assert require_trusted(load_bundle(bundle.folder), trusted).key_id == one["key_id"]


def test_the_signed_file_says_who_and_when_in_utc(bundle: Bundle, key: Ed25519PrivateKey) -> None:
    sign_bundle(bundle, key, None, NOW.astimezone(timezone(timedelta(hours=5))))
    (one,) = load_bundle(bundle.folder).signatures
    assert (one.signer, one.signed_utc, one.key_id) == (None, "2026-01-31T23:59:59Z", key_id(key.public_key()))


def test_the_same_key_replaces_and_another_adds(bundle: Bundle, key: Ed25519PrivateKey) -> None:
    other = Ed25519PrivateKey.generate()
    for signer, name in ((key, "Anna"), (other, "Bert"), (key, "Carl")):
        sign_bundle(load_bundle(bundle.folder), signer, name, NOW)
    found = load_bundle(bundle.folder).signatures
    assert sorted(one.signer or "" for one in found) == ["Bert", "Carl"]
    for one in (key, other):
        require_trusted(load_bundle(bundle.folder), {key_id(one.public_key()): Path("k")})
    assert sorted(path.name for path in bundle.folder.parent.rglob("*") if path.is_file()) == sorted(
        [*bundle.manifest.files, "manifest.json", "manifest.sha256", "signature.json"]
    )


@pytest.mark.parametrize("above", [True, False])
def test_a_failed_signing_leaves_the_old_signature(
    signed: Bundle, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch, above: bool
) -> None:
    before = {path: path.read_bytes() for path in files_of(signed.folder.parent)}
    seen: list[Path] = []

    def fail(temporary: Path, target: Path) -> None:
        seen.append(temporary.parent)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: above)
        patch.setattr(Path, "replace", fail)
        with pytest.raises(InputError, match=r"cannot write .*signature\.json: No space left"):
            sign_bundle(signed, key, "Bert", NOW)
    assert seen == [signed.folder.parent if above else signed.folder]
    assert {path: path.read_bytes() for path in files_of(signed.folder.parent)} == before


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_signed_bundle_is_refused_by_name(deep: Bundle, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_of(deep.folder)))
    original = path.read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(InputError) as caught:
            load_bundle(deep.folder)
        # a changed manifest.sha256 is told beside the manifest it speaks of
        told = path if path.name != "manifest.sha256" else path.name
        assert str(told) in str(caught.value)
    finally:
        path.write_bytes(original)
    load_bundle(deep.folder)


def test_every_single_byte_of_a_signature_file_counts(signed: Bundle) -> None:
    path = signed.folder / "signature.json"
    original = path.read_bytes()
    digest = hashlib.sha256((signed.folder / "manifest.json").read_bytes()).hexdigest()
    assert from_bytes(original, digest, path) == signed.signatures
    for position in range(len(original)):
        byte = original[position]
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, *b" \t\n\r"} - {byte}:  # JSON does not tell its blanks apart
            changed = bytearray(original)
            changed[position] = other
            with pytest.raises(InputError, match=r"signature\.json"):
                from_bytes(bytes(changed), digest, path)
        if position % 50 == 0:
            path.write_bytes(changed)
            with pytest.raises(InputError, match=r"signature\.json"):
                load_bundle(signed.folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_off_or_grown_is_refused_by_name(signed: Bundle, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(signed.folder.iterdir())))
    original = path.read_bytes()
    kept = data.draw(st.integers(0, len(original)))
    path.write_bytes(original[:kept] if kept < len(original) else original + data.draw(st.binary(min_size=1)))
    try:
        with pytest.raises(InputError, match=path.name):
            load_bundle(signed.folder)
    finally:
        path.write_bytes(original)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.from_regex(r"[A-Za-z0-9_.~-]{1,12}", fullmatch=True), min_size=1, max_size=3))
def test_a_file_that_no_manifest_lists_is_refused_by_name(signed: Bundle, parts: list[str]) -> None:
    path = signed.folder.joinpath(*parts)
    if path.exists() or {".", ".."} & set(parts) or (signed.folder / parts[0]).is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    try:
        with pytest.raises(InputError, match="not listed") as caught:
            load_bundle(signed.folder)
        assert str(path) in str(caught.value)
    finally:
        path.unlink()
        for depth in range(len(parts) - 1, 0, -1):
            signed.folder.joinpath(*parts[:depth]).rmdir()
    load_bundle(signed.folder)


def rewrite_manifest(folder: Path) -> None:
    """What somebody without the key can do: a lower threshold, and a manifest.sha256 that fits it."""
    text = (folder / "manifest.json").read_bytes().replace(b'"logit": 1.0', b'"logit": 9.0')
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def test_a_manifest_rewritten_with_its_hash_is_refused(signed: Bundle, key: Ed25519PrivateKey) -> None:
    rewrite_manifest(signed.folder)
    with pytest.raises(InputError, match=r"signature\.json: the signature of Änne.* does not fit manifest\.json") as it:
        load_bundle(signed.folder)
    assert "sign the bundle anew" in str(it.value)
    with pytest.raises(InputError, match="does not fit"):  # nor can it be signed over by mistake
        sign_bundle(load_bundle(signed.folder), key, None, NOW)
    (signed.folder / "signature.json").unlink()
    sign_bundle(load_bundle(signed.folder), key, None, NOW)
    assert load_bundle(signed.folder).manifest.threshold.logit == 9.0


def test_a_bundle_that_changed_since_it_was_loaded_is_not_signed(bundle: Bundle, key: Ed25519PrivateKey) -> None:
    rewrite_manifest(bundle.folder)
    with pytest.raises(InputError, match=r"signature\.json.* does not fit"):
        sign_bundle(bundle, key, None, NOW)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=2), "format_version = 2: this program reads version 1; update"),
        (lambda d: d.update(signatures=[]), "signatures"),
        (lambda d: d["signatures"].append(d["signatures"][0]), "one a key"),
        (lambda d: d["signatures"][0].update(algorithm="rsa"), r"algorithm = 'rsa'"),
        (lambda d: d["signatures"][0].update(signature="ab"), r"signature = 'ab'"),
        (lambda d: d["signatures"][0].update(signer="x\ny"), "printable"),
        (lambda d: d["signatures"][0].update(signer="Anna"), "Anna.*does not fit"),
        (lambda d: d["signatures"][0].update(signed_utc="2026-1-31T23:59:59Z"), "2026-01-31"),
        (lambda d: d["signatures"][0].update(signed_utc="yesterday"), "signed_utc = 'yesterday'"),
        (lambda d: d["signatures"][0].update(key_id="0" * 64), "key_id is not"),
        (lambda d: d["signatures"][0].update(colour="red"), "unknown key"),
    ],
)
def test_a_wrong_signature_file_names_the_key(
    signed: Bundle, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    document = signature_document(signed)
    change(document)
    (signed.folder / "signature.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf"(?s)signature\.json.*{words}"):
        load_bundle(signed.folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"format_version": 1}'])
def test_a_file_that_is_no_signature_file_is_refused(bundle: Bundle, content: bytes) -> None:
    (bundle.folder / "signature.json").write_bytes(content)
    with pytest.raises(InputError, match=r"signature\.json"):
        load_bundle(bundle.folder)


def test_a_signature_of_another_bundle_is_refused(signed: Bundle, tmp_path: Path) -> None:
    shutil.copytree(signed.folder, tmp_path / "other")
    rewrite_manifest(tmp_path / "other")
    with pytest.raises(InputError, match=r"other/signature\.json"):
        load_bundle(tmp_path / "other")


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a\x1b[2Jb", "a\u202eb"])
def test_a_name_that_could_deceive_is_refused(bundle: Bundle, key: Ed25519PrivateKey, name: str) -> None:
    with pytest.raises(InputError, match="signer"):
        sign_bundle(bundle, key, name, NOW)
    assert not (bundle.folder / "signature.json").exists()


def test_only_trusted_keys_count(bundle: Bundle, signed: Bundle, pair: KeyPair, tmp_path: Path) -> None:
    stranger = write_key_pair(tmp_path / "stranger")
    assert require_trusted(signed, read_trusted_keys([stranger.public, pair.public])).key_id == pair.key_id
    with pytest.raises(InputError, match=r"signed by Änne.*no trusted key.*stranger\.pub\.pem") as caught:
        require_trusted(signed, read_trusted_keys([stranger.public]))
    assert pair.key_id in str(caught.value)
    with pytest.raises(InputError, match=r"signature\.json: missing: the bundle is not signed"):
        require_trusted(bundle, read_trusted_keys([pair.public]))


def test_no_engine_opens_without_the_signature_that_is_required(
    bundle: Bundle, key: Ed25519PrivateKey, pair: KeyPair, tmp_path: Path
) -> None:
    strict = EngineSettings(precision="f32", require_signature=True, trusted_keys=(pair.public,))
    with pytest.raises(InputError, match="not signed"):
        open_engine(bundle, strict)
    sign_bundle(bundle, Ed25519PrivateKey.generate(), None, NOW)
    with pytest.raises(InputError, match="no trusted key"):
        open_engine(load_bundle(bundle.folder), strict)
    sign_bundle(load_bundle(bundle.folder), key, None, NOW)
    loaded = load_bundle(bundle.folder)
    with open_engine(loaded, strict) as engine:
        assert engine.infer(loaded.golden().tiles[:1]).shape == (1, 12, 24)
    absent = EngineSettings(require_signature=True, trusted_keys=(tmp_path / "absent.pem",))
    with pytest.raises(InputError, match=r"absent\.pem: no such file"):
        open_engine(loaded, absent)


def test_a_signature_is_never_part_of_a_manifest(bundle: Bundle) -> None:
    document = bundle.manifest.model_dump()
    document["files"]["signature.json"] = document["files"][MODEL_NAME]
    with pytest.raises(ValueError, match=r"signature\.json.*cannot be listed"):
        type(bundle.manifest).model_validate(document)
