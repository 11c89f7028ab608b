"""The signature by which a server knows that an event is the station's and fresh.

Promises: signature and headers are those of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks),
for which there are libraries in many languages; a secret that others may read is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from glass_edge.adapters.secret import read_secret_text
from glass_edge.config.adapter_webhook import WebhookSettings
from glass_edge.config.events import CREDENTIAL_PREFIX
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
    place = settings.secret_file or f"{CREDENTIAL_PREFIX}{settings.secret_credential}"
    text = read_secret_text(str(place), _MAKE_ONE)
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except binascii.Error:
        secret = b""
    if len(secret) < _LEAST_BYTES:
        raise InputError(f"{place}: is not {_PREFIX} and the base64 of {_LEAST_BYTES} bytes or more; {_MAKE_ONE}")
    return secret
