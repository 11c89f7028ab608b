"""What a mill's file of revocations keeps from being used."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.keys import read_private_key, read_public_key, write_key_pair
from glass_edge.engine.revocation import Revocations, add_revocation, read_revocations
from glass_edge.engine.signing import sign_bundle
from glass_edge.engine.trust import check_trust
from glass_edge.errors import InputError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SHA = hashlib.sha256(b"one").hexdigest()


def test_lines_are_added_and_nothing_that_is_there_goes(tmp_path: Path) -> None:
    path = tmp_path / "revoked.txt"
    other = hashlib.sha256(b"other").hexdigest()
    assert add_revocation(path, SHA, "misses holes")
    path.write_text(path.read_text() + "# a note of ours\n\n")
    before = path.read_text()
    assert add_revocation(path, other, "the laptop was stolen")
    assert path.read_text() == f"{before}{other} the laptop was stolen\n"
    assert not add_revocation(path, SHA, "again")
    assert read_revocations(path).reasons == {SHA: "misses holes", other: "the laptop was stolen"}
    assert read_revocations(None) == Revocations()


@given(
    st.dictionaries(st.binary(max_size=4), st.text(st.characters(categories=["L", "N"]), min_size=1), max_size=4),
    st.data(),
)
def test_a_file_that_was_cut_off_is_refused_or_ends_with_a_whole_line(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "revoked.txt"
    wanted = {hashlib.sha256(one).hexdigest(): reason for one, reason in entries.items()}
    for sha256, reason in wanted.items():
        add_revocation(path, sha256, reason)
    whole = path.read_bytes() if path.exists() else b""
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    if cut and whole[cut - 1 : cut] != b"\n":
        with pytest.raises(InputError, match=r"revoked\.txt"):
            read_revocations(path)
        return
    found = read_revocations(path).reasons
    assert found == dict(list(wanted.items())[: len(found)])
    assert len(found) == max(0, whole[:cut].count(b"\n") - 1)  # all but the head


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("abc misses holes\n", r"revoked\.txt:1: 'abc misses holes' is not a SHA-256"),
        (f"# ours\n{SHA}\n", r"revoked\.txt:2: .* and a reason"),
        (f"{SHA.upper()} misses holes\n", "is not a SHA-256"),
        (f"{SHA} misses", "its last line has no end"),
    ],
)
def test_a_line_that_is_none_is_never_passed_over(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "revoked.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_revocations(path)
    with pytest.raises(InputError, match=words):
        add_revocation(path, hashlib.sha256(b"x").hexdigest(), "why")
    assert path.read_text() == content


def test_a_file_that_is_not_there_or_not_text_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: no such file"):
        read_revocations(tmp_path / "absent")
    (tmp_path / "data").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_revocations(tmp_path / "data")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_revocations(tmp_path / "large")
    for reason in ("", "  ", "two\nlines"):
        with pytest.raises(InputError, match="say in one line"):
            add_revocation(tmp_path / "new", SHA, reason)
    assert not (tmp_path / "new").exists()


def test_a_revoked_version_opens_nowhere_and_the_reason_is_told(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "revoked.txt"
    settings = EngineSettings(precision="f32", revoked=path)
    add_revocation(path, SHA, "another one")
    check_trust(bundle, settings)
    add_revocation(path, hashlib.sha256((bundle.folder / "manifest.json").read_bytes()).hexdigest(), "misses holes")
    with pytest.raises(InputError, match=r"is revoked in .*revoked\.txt: misses holes; use another version"):
        open_engine(bundle, settings)


def test_a_revoked_key_counts_no_more_and_another_one_does(bundle: Bundle, tmp_path: Path) -> None:
    old, new = write_key_pair(tmp_path / "old"), write_key_pair(tmp_path / "new")
    path = tmp_path / "revoked.txt"
    settings = EngineSettings(require_signature=True, trusted_keys=(old.public, new.public), revoked=path)
    der = read_public_key(old.public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    add_revocation(path, hashlib.sha256(der).hexdigest(), "the laptop was stolen")
    sign_bundle(bundle, read_private_key(old.private), "Ada", NOW)
    with pytest.raises(
        InputError, match=r"signed with a key that is revoked in .*revoked\.txt \(Ada.*: the laptop was"
    ):
        check_trust(load_bundle(bundle.folder), settings)
    sign_bundle(load_bundle(bundle.folder), read_private_key(new.private), "Ada", NOW)
    check_trust(load_bundle(bundle.folder), settings)
