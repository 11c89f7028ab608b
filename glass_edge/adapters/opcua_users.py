"""Users of the OPC UA server: names, roles and hashed passwords, in a file.

Promises: no password is stored, only its scrypt hash with a salt of its own; the file has mode 0600 and is refused when
others may read it; a change of the file counts from the next login and the next method call on; a name that is not
there costs as much time as a wrong password; a user whose password is guessed at is let in by nobody for a while, the
others are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from glass_edge.adapters.secret import secret_path, write_secret
from glass_edge.config.events import Role
from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document
from glass_edge.files import make_folder

_COST = {"n": 1 << 14, "r": 8, "p": 5}  # OWASP Password Storage Cheat Sheet: as good as N = 2^17, p = 1, in 16 MiB
_HASH_BYTES = 32
_SHORTEST, _LONGEST = 10, 256
_MOST_USERS = 200
_MOST_FAILURES, _FAILURES_WITHIN_S = 10, 60.0

UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class _User(Document):
    role: Role
    salt: str
    hash: str
    n: int = Field(ge=1 << 14, le=1 << 20)
    r: int = Field(ge=1, le=32)
    p: int = Field(ge=1, le=32)


class _UserFile(Document):
    format_version: Literal[1] = 1
    users: dict[UserName, _User] = Field(default={}, max_length=_MOST_USERS)


def add_user(path: Path, name: str, role: Role, password: str) -> None:
    """Add a user, or give one another role and password.

    Raises:
        InputError: no name, a password that is too short or long, or a file that cannot be used.
    """
    size = len(password)
    if not _SHORTEST <= size <= _LONGEST or not password.isprintable():
        raise InputError(f"a password has {_SHORTEST} to {_LONGEST} printable characters; give another")
    make_folder(path.parent)
    users = _read(path).users if path.exists() else {}
    salt = os.urandom(16)
    user = _User(role=role, salt=_text(salt), hash=_text(_hash(password, salt, **_COST)), **_COST)
    try:
        file = _UserFile(users=users | {name: user})
    except ValidationError as error:
        raise InputError(f"'{name}' cannot be added to {path}: {first_problem(error)}") from error
    _write(path, file)


def remove_user(path: Path, name: str) -> None:
    """Let a user in no longer.

    Raises:
        InputError: there is no such user, or the file cannot be used.
    """
    users = dict(_read(path).users)
    if users.pop(name, None) is None:
        raise InputError(f"{path}: has no user '{name}'; it has {', '.join(sorted(users)) or 'none'}")
    _write(path, _UserFile(users=users))


class Users:
    """The users in a file, which may change while the server runs.

    Args:
        path: the file.
        clock: monotonic seconds.

    Raises:
        InputError: the file is absent, open to others, or something else.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}
        self._users = _read(path).users
        self._stamp: tuple[int, int, int] | None = _stamp(path)

    def login(self, name: str, password: str) -> Role | None:
        """Role of a user with this password; None for another password, no such user, or after too many failures."""
        user = self._now().get(name)
        known = user or _NOBODY
        # names that are not there share one count: the memory is bounded by the users
        failures = self._failures.setdefault(name if user else "", deque(maxlen=_MOST_FAILURES))
        if len(failures) == _MOST_FAILURES and self._clock() - failures[0] < _FAILURES_WITHIN_S:
            return None
        given = _hash(password[: _LONGEST + 1], base64.b64decode(known.salt), known.n, known.r, known.p)
        if not hmac.compare_digest(given, base64.b64decode(known.hash)) or user is None:
            failures.append(self._clock())
            return None
        return user.role

    def role_of(self, name: str) -> Role | None:
        """Role of a user now; None when the user is gone."""
        user = self._now().get(name)
        return None if user is None else user.role

    def _now(self) -> dict[str, _User]:
        try:
            if (stamp := _stamp(self._path)) != self._stamp:
                self._users, self._stamp = _read(self._path).users, stamp
        except InputError:
            self._users, self._stamp = {}, None  # a file that is being mended lets nobody in
        return self._users


def _hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + (1 << 20), dklen=_HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = _User(role=Role.OBSERVER, salt=_text(bytes(16)), hash=_text(bytes(_HASH_BYTES)), **_COST)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); add a user with --add-user") from error
    return status.st_mtime_ns, status.st_ino, status.st_mode


def _read(path: Path) -> _UserFile:
    try:
        return _UserFile.model_validate(json.loads(secret_path(str(path)).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; add a user with --add-user NAME --role ROLE") from None
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InputError(f"{path}: is no file of users ({problem}); move it away, and add users with --add-user")


def _write(path: Path, file: _UserFile) -> None:
    write_secret(path, (json.dumps(file.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode())
