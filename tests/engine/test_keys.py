"""Key files: made as OpenSSL makes them, and every wrong one is named."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from glass_edge.engine.keys import key_id, read_private_key, read_public_key, read_trusted_keys, write_key_pair
from glass_edge.errors import InputError

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl binary here")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ["mill", "mill.pem"])
def test_a_new_pair_belongs_together(tmp_path: Path, name: str) -> None:
    pair = write_key_pair(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mill.pem", "mill.pub.pem"]
    assert (mode(pair.private), mode(pair.public)) == (0o600, 0o644)
    private, public = read_private_key(pair.private), read_public_key(pair.public)
    public.verify(private.sign(b"words"), b"words")
    assert key_id(public) == key_id(private.public_key()) == pair.key_id
    assert read_trusted_keys([pair.public]) == {pair.key_id: pair.public}


@needs_openssl
def test_openssl_reads_both(tmp_path: Path) -> None:
    pair = write_key_pair(tmp_path / "mill", b"open sesame")
    command = ["openssl", "pkey", "-in", str(pair.private), "-passin", "pass:open sesame", "-pubout"]
    made = subprocess.run(command, check=True, capture_output=True).stdout
    assert made == pair.public.read_bytes()


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    pair = write_key_pair(tmp_path / "mill", b"open sesame")
    assert key_id(read_private_key(pair.private, b"open sesame").public_key()) == pair.key_id
    with pytest.raises(InputError, match=r"mill\.pem: .*is encrypted; give its passphrase \(--passphrase-file\)"):
        read_private_key(pair.private)
    with pytest.raises(InputError, match=r"mill\.pem: .*passphrase is wrong"):
        read_private_key(pair.private, b"open barley")
    plain = write_key_pair(tmp_path / "plain")
    with pytest.raises(InputError, match=r"plain\.pem: .*is not encrypted"):
        read_private_key(plain.private, b"open sesame")


@pytest.mark.parametrize("taken", ["mill.pem", "mill.pub.pem"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")
    with pytest.raises(InputError, match=f"{taken} exists; a key is never overwritten"):
        write_key_pair(tmp_path / "mill")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(taken, "precious")]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_key_pair(tmp_path / "absent" / "mill")
    for name in ("mill.pub", "mill.pub.pem", ".pem"):
        with pytest.raises(InputError, match="name of the private key's file"):
            write_key_pair(tmp_path / name)


def other_private() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def other_public() -> bytes:
    return x25519.X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


CUT = b"-----BEGIN %s KEY-----\nMCowBQYDK2Vw\n-----END %s KEY-----\n"


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (read_private_key, b"", "no private key in PEM"),
        (read_private_key, b"\0\xff" * 40, "no private key in PEM"),
        (read_private_key, CUT.replace(b"%s", b"PRIVATE"), "cannot be read"),
        (read_private_key, other_private(), "another kind; bundles are signed with Ed25519"),
        (read_private_key, None, "no such file"),
        (read_public_key, b"", "no public key in PEM"),
        (read_public_key, b"ssh-ed25519 AAAAC3Nz me", "no public key in PEM"),
        (read_public_key, CUT.replace(b"%s", b"PUBLIC"), "no public key in PEM"),
        (read_public_key, other_public(), "another kind; bundles are signed with Ed25519"),
        (read_public_key, other_private(), "belongs to the signer alone"),
        (read_public_key, other_public() * 2, "several PEM blocks"),
        (read_public_key, None, "no such file"),
    ],
)
def test_a_wrong_key_file_is_named(
    tmp_path: Path, read: Callable[[Path], object], content: bytes | None, words: str
) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"key\.pem: .*{words}"):
        read(path)


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_public_key(tmp_path)
