"""Application certificates of OPC UA, and the server's own.

Promises: no key or certificate is overwritten; a key that others may read is refused, and so is one of another
certificate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from glass_edge.adapters.secret import secret_path, write_secret
from glass_edge.config.adapter_opcua import OpcuaSettings
from glass_edge.config.events import CREDENTIAL_PREFIX
from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_bytes

_KEY_BITS = 2048
_VALID = timedelta(days=5 * 365)
_SOON = timedelta(days=30)
_LARGEST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's certificate and key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def make_certificate(settings: OpcuaSettings, names: Sequence[str]) -> x509.Certificate:
    """Make the certificate and key that the settings name, self-signed, valid for five years.

    Args:
        settings: places and application URI.
        names: host names and addresses by which clients reach the server.

    Raises:
        InputError: no places are set, one of the files is there already, or cannot be written.
    """
    if settings.certificate is None or settings.private_key is None:
        raise InputError("certificate and private_key are not set; name the files to be made")
    if settings.private_key.startswith(CREDENTIAL_PREFIX):
        raise InputError(f"{settings.private_key}: a credential is made by systemd-creds; name a file to make the key")
    key_path = Path(settings.private_key)
    for path in (settings.certificate, key_path):
        if path.exists():
            raise InputError(f"{path}: is there already; move it away to make another")
        make_folder(path.parent)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    certificate = _signed(key, settings.application_uri, names, datetime.now(UTC))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(key_path, private)
    is_pem = settings.certificate.suffix == ".pem"
    encoding = serialization.Encoding.PEM if is_pem else serialization.Encoding.DER
    write_bytes(settings.certificate, certificate.public_bytes(encoding))
    return certificate


def _signed(key: rsa.RSAPrivateKey, uri: str, names: Sequence[str], now: datetime) -> x509.Certificate:
    """A certificate as OPC 10000-6, 6.2.2 asks for."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri[-64:])])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,  # self-signed
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    alternatives = [x509.UniformResourceIdentifier(uri), *(_alternative(name) for name in names)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks in a mill differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise InputError(f"'{name}' is no host name or address ({error})") from error


def read_identity(settings: OpcuaSettings) -> Identity:
    """The server's certificate and key.

    Raises:
        InputError: one of them is absent, open to others, something else, or they do not belong together.
    """
    assert settings.certificate is not None  # checked when the file was read
    assert settings.private_key is not None
    certificate = read_certificate(settings.certificate)
    place = settings.private_key
    try:
        key = serialization.load_pem_private_key(secret_path(place).read_bytes(), None)
    except FileNotFoundError:
        raise InputError(f"{place}: no such file; make certificate and key with --make-certificate") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{place}: is no private key in PEM without a password ({error})") from error
    if not isinstance(key, rsa.RSAPrivateKey) or not 2048 <= key.key_size <= 4096:
        raise InputError(f"{place}: is no RSA key of 2048 to 4096 bits, as the security policies ask for")
    if key.public_key() != certificate.public_key():
        raise InputError(f"{place}: does not belong to {settings.certificate}; give the key it was made with")
    if settings.application_uri not in uris_of(certificate):
        raise InputError(
            f"{settings.certificate}: does not name {settings.application_uri} but {uris_of(certificate) or 'no URI'};"
            " correct application_uri, or make another certificate"
        )
    return Identity(certificate, key)


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate in DER or PEM.

    Raises:
        InputError: there is none in `path`.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path}: is too large for a certificate")
        return parse_certificate(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make certificate and key with --make-certificate") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no certificate in DER or PEM ({error})") from error


def parse_certificate(data: bytes) -> x509.Certificate:
    """A certificate from its bytes; ValueError when it is none."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(data)
    return x509.load_der_x509_certificate(data)


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Application URIs in a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return list(names.get_values_for_type(x509.UniformResourceIdentifier))
    except (x509.ExtensionNotFound, ValueError):
        return []


def time_complaint(certificate: x509.Certificate, now: datetime, *, is_own: bool = False) -> str | None:
    """What is wrong with a certificate at `now`, or of the server's own in 30 days; None when nothing is."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    clock = f"the clock of this machine says {now:%Y-%m-%d %H:%M} UTC"
    if now < first:
        return f"is not valid before {first:%Y-%m-%d %H:%M} UTC; {clock}"
    if now > last:
        return f"expired on {last:%Y-%m-%d}; {clock}"
    if is_own and now > last - _SOON:
        return f"expires on {last:%Y-%m-%d}"
    return None
