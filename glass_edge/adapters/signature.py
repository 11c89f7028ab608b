"""The signature by which a server knows that an event is the station's and fresh.

Promises: signature and headers are those of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks),
for which there are libraries in many languages; a secret that others may read is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from pathlib import Path

from glass_edge.config.adapters import WebhookSettings
from glass_edge.errors import InputError

_PREFIX = "whsec_"
_LEAST_BYTES = 24  # as the standard asks
_MAKE_ONE = f"make one: (umask 077; echo {_PREFIX}$(openssl rand -base64 32) > FILE)"


def sign(secret: bytes, message_id: str, unix_s: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `message_id.unix_s.body`."""
    content = f"{message_id}.{unix_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def read_secret(settings: WebhookSettings) -> bytes:
    """The key of the signature, from the file or the systemd credential that the settings name.

    Raises:
        InputError: it is absent, open to others, or no secret.
    """
    if settings.secret_file is not None:
        path = settings.secret_file
        _require_private(path)
    else:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise InputError(
                f"secret_credential = '{settings.secret_credential}': $CREDENTIALS_DIRECTORY is not set; start the"
                " adapter as a systemd service with LoadCredential=, or give secret_file"
            )
        path = Path(folder) / str(settings.secret_credential)
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {_MAKE_ONE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a secret ({error}); {_MAKE_ONE}") from error
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except binascii.Error:
        secret = b""
    if len(secret) < _LEAST_BYTES:
        raise InputError(f"{path}: is not {_PREFIX} and the base64 of {_LEAST_BYTES} bytes or more; {_MAKE_ONE}")
    return secret


def _require_private(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # reading it tells what is wrong
    if mode & 0o077:
        raise InputError(f"{path}: has mode {mode:04o} and others may read it; chmod 600 {path}")
