"""CURVE keys on disk: pairs, and the folder of clients that may connect.

Promises: a secret key is written with mode 0600 and never over another file; one that others may read is refused,
except a credential that systemd hands over; public files hold no secret; what is no key is refused with the file's
name. The files are certificates as `zmq.auth` of pyzmq reads and writes them; a client's role stands in the metadata of
its certificate, and one without is an observer's.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.auth
from zmq.utils import z85

from glass_edge.config.events import CREDENTIAL_PREFIX, Role
from glass_edge.errors import InputError
from glass_edge.files import make_folder, sync_folder, write_bytes

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROLE = re.compile(r"""\s*role\s*=\s*["']?([^"']*?)["']?\s*""")


class KeyPair(NamedTuple):
    """A public key and its secret key, 40 characters of Z85 each."""

    public: bytes
    secret: bytes


class ClientKeys(NamedTuple):
    """What a client needs: the station's public key, to know it, and its own pair, to be known."""

    server_public: bytes
    own: KeyPair


class AllowedClient(NamedTuple):
    """A client that may connect: its public key, 40 characters of Z85, and what it may ask for."""

    public: bytes
    role: Role


def make_key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make NAME.key_secret and NAME.key in `folder` and return their paths, secret first.

    Raises:
        InputError: one of them is there already, the name is none, or the folder cannot be written.
    """
    check_name(name)
    make_folder(folder)
    secret_path, public_path = folder / (name + SECRET_SUFFIX), folder / (name + PUBLIC_SUFFIX)
    for path in (secret_path, public_path):
        if path.exists():
            raise InputError(f"{path}: is there already; give another name, or move the old key away")
    public, secret = zmq.curve_keypair()
    try:
        fd = os.open(secret_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"{secret_path}: cannot be written ({error.strerror}); give a writable folder") from error
    with os.fdopen(fd, "wb") as stream:
        stream.write(_certificate(public, secret))
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(folder)
    write_bytes(public_path, _certificate(public))
    return secret_path, public_path


def read_public(path: Path) -> bytes:
    """The public key in `path`.

    Raises:
        InputError: unreadable, no key, or a file that holds a secret key.
    """
    public, secret = _read(path)
    if secret is not None:
        raise InputError(f"{path}: holds a secret key; give the file of the public key, {PUBLIC_SUFFIX}")
    return public


def read_pair(place: str) -> KeyPair:
    """The pair in the file `place`, or in the systemd credential NAME for `credential:NAME`.

    Raises:
        InputError: unreadable, no secret key, open to others, or a credential that is not there.
    """
    if place.startswith(CREDENTIAL_PREFIX):
        path = _credential(place.removeprefix(CREDENTIAL_PREFIX))
    else:
        path = Path(place)
        _require_private(path)
    public, secret = _read(path)
    if secret is None:
        raise InputError(f"{path}: holds no secret key; give the file {SECRET_SUFFIX} of the pair")
    if zmq.curve_public(secret) != public:
        raise InputError(f"{path}: the public key does not belong to the secret key; make a new pair")
    return KeyPair(public, secret)


def allow(public: Path, folder: Path, role: Role | None = None) -> Path:
    """Let the client whose public key is in `public` connect; returns the file made in `folder`.

    Args:
        public: file of the key, NAME.key.
        folder: of the allowed clients.
        role: what it may; None: what it may already, observer for a new client.

    Raises:
        InputError: no public key, another key is allowed under this name, or the key under another name.
    """
    key = read_public(public)
    name = public.name.removesuffix(PUBLIC_SUFFIX)
    check_name(name)
    make_folder(folder)
    clients = allowed(folder)
    path = folder / (name + PUBLIC_SUFFIX)
    known = clients.get(name)
    if known is not None and known.public != key:
        raise InputError(f"{path}: another key is allowed as '{name}'; revoke it first, or rename the file")
    for other, client in clients.items():
        if client.public == key and other != name:
            raise InputError(f"{public}: this key is allowed as '{other}'; revoke that first: a client has one name")
    role = role or (Role.OBSERVER if known is None else known.role)
    write_bytes(path, _certificate(key, role=role))
    return path


def revoke(name: str, folder: Path) -> None:
    """Let the client `name` connect no longer.

    Raises:
        InputError: no such client.
    """
    check_name(name)
    path = folder / (name + PUBLIC_SUFFIX)
    try:
        path.unlink()
    except FileNotFoundError:
        raise InputError(f"{path}: no such client; `glass-edge keys list` tells those that are allowed") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be removed ({error.strerror})") from error
    sync_folder(folder)


def allowed(folder: Path) -> dict[str, AllowedClient]:
    """The clients in `folder`, by name.

    Raises:
        InputError: the folder, a key or a role in it cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == PUBLIC_SUFFIX)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); give the folder of allowed clients") from error
    return {path.name.removesuffix(PUBLIC_SUFFIX): AllowedClient(read_public(path), _role(path)) for path in paths}


def check_name(name: str) -> None:
    """Raise `InputError` unless `name` can name a key."""
    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}' is no name of a key; give a letter or digit, then letters, digits, '.', '_', '-'")


def _certificate(public: bytes, secret: bytes | None = None, role: Role | None = None) -> bytes:
    lines = ["metadata"]
    if role is not None:
        lines.append(f'    role = "{role}"')
    lines += ["curve", f'    public-key = "{public.decode()}"']
    if secret is not None:
        lines.append(f'    secret-key = "{secret.decode()}"')
    return ("\n".join(lines) + "\n").encode()


def _role(path: Path) -> Role:
    """The `role` in the section `metadata` of a certificate."""
    section, role = "", Role.OBSERVER
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line[:1].strip():
            section = line.strip()
        elif section == "metadata" and (match := _ROLE.fullmatch(line)):
            try:
                role = Role(match[1])
            except ValueError:
                raise InputError(f"{path}: '{match[1]}' is no role; give {', '.join(Role)}") from None
    return role


def _read(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
        sizes = {len(z85.decode(key)) for key in (public, secret) if key is not None}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or 'no such file'}); give a key file") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path}: is no key; `glass-edge keys new` makes one") from error
    if sizes != {_KEY_BYTES}:
        raise InputError(f"{path}: is no key; `glass-edge keys new` makes one")
    return public, secret


def _require_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the file of a secret key") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"{path}: others may read this secret key (mode {mode & 0o777:04o}); run: chmod 600 {path}")


def _credential(name: str) -> Path:
    check_name(name)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise InputError(
            f"{CREDENTIAL_PREFIX}{name}: there are no credentials here; run under a systemd unit with"
            f" LoadCredential={name}:FILE, or give the path of the key"
        )
    return Path(folder) / name
