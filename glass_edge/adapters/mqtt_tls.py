"""How the MQTT adapter proves who it is, and who the broker is.

Promises: TLS 1.2 or later with the broker's certificate and host checked; a key or password that others may read is
refused; what is wrong with a file is told with its name.
"""

from __future__ import annotations

import ssl

from glass_edge.adapters.secret import read_secret_text, secret_path
from glass_edge.config.adapter_mqtt import MqttSettings
from glass_edge.errors import InputError


def read_password(settings: MqttSettings) -> str | None:
    """The user's password; None without one.

    Raises:
        InputError: absent, open to others or empty.
    """
    if settings.password_file is None:
        return None
    return read_secret_text(settings.password_file, "write the broker's password for the user into it, mode 0600")


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """What TLS is to use; None for a broker on this machine that is reached without.

    Raises:
        InputError: a file is absent, open to others, or no certificate or key.
    """
    if not settings.place.is_encrypted:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{settings.ca_file}: cannot be read as certificates ({error}); give a PEM file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate is not None and settings.client_key is not None:
        key = secret_path(settings.client_key)
        try:
            context.load_cert_chain(settings.client_certificate, key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"{settings.client_certificate}, {key}: cannot be read as a certificate and its key ({error}); give PEM"
                " files of one pair, the key without a password"
            ) from error
    return context


def _no_password() -> str:
    return ""  # a key with one is refused, where OpenSSL would ask on the terminal
