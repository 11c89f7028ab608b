"""The clients of the OPC UA server that are trusted.

Promises: a client is trusted when its very certificate lies in the folder of trusted ones and is valid now; one that is
refused is kept, for a person to trust; there are never more of these than a bound, and a flood of them costs no disk.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from glass_edge.adapters.opcua_certificates import parse_certificate, read_certificate, time_complaint, uris_of
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import make_folder, write_bytes

_MOST_REJECTED = 20
_KEPT_EVERY_S = 1.0
_MOST_TRUSTED = 1000
_SUFFIXES = (".der", ".crt", ".cer", ".pem")


class Fault(Enum):
    """Why a client's certificate is refused."""

    UNTRUSTED = "untrusted"
    TIME = "time"
    URI = "uri"
    INVALID = "invalid"


class CertificateRefusedError(GlassEdgeError):
    """A client's certificate is not taken.

    Args:
        fault: why.
        message: for the log, with what to do.
    """

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class TrustList:
    """The clients that may connect.

    Args:
        trusted: folder of their certificates; read anew for each client.
        rejected: folder of those that were refused.
        complain: told of a file in `trusted` that is no certificate.
        clock: monotonic seconds.

    Raises:
        InputError: a folder cannot be made.
    """

    def __init__(
        self,
        trusted: Path,
        rejected: Path,
        complain: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trusted = make_folder(trusted)
        self._rejected = make_folder(rejected)
        self._complain = complain
        self._clock = clock
        self._kept_s = -math.inf

    def judge(self, data: bytes, application_uri: str | None, now: datetime) -> None:
        """Judge a client's certificate.

        Args:
            data: the certificate, DER.
            application_uri: what the client calls itself; None where it does not say.
            now: aware time.

        Raises:
            CertificateRefusedError: it is not taken.
        """
        try:
            certificate = parse_certificate(data)
        except ValueError as error:
            raise CertificateRefusedError(Fault.INVALID, f"a client's certificate cannot be read: {error}") from error
        who = _describe(certificate)
        if data not in self._certificates():
            kept = self._keep(certificate, data)
            remedy = f"to trust it, move {kept} to {self._trusted}" if kept else "it was not kept, too many come"
            raise CertificateRefusedError(Fault.UNTRUSTED, f"{who} is not trusted; {remedy}")
        if (complaint := time_complaint(certificate, now)) is not None:
            raise CertificateRefusedError(Fault.TIME, f"{who} {complaint}")
        if application_uri is not None and application_uri not in uris_of(certificate):
            raise CertificateRefusedError(
                Fault.URI, f"{who} does not name {application_uri[:200]!r}, as the client does"
            )

    def _certificates(self) -> set[bytes]:
        found: set[bytes] = set()
        for path in sorted(self._trusted.iterdir())[:_MOST_TRUSTED]:
            if path.suffix.lower() in _SUFFIXES:
                try:
                    found.add(read_certificate(path).public_bytes(serialization.Encoding.DER))
                except InputError as error:
                    self._complain(str(error))
        return found

    def _keep(self, certificate: x509.Certificate, data: bytes) -> Path | None:
        """Keep a refused certificate under its SHA-256, one a second at most; None when it is not kept."""
        path = self._rejected / f"{certificate.fingerprint(hashes.SHA256()).hex()[:32]}.der"
        if path.exists():
            return path
        if self._clock() - self._kept_s < _KEPT_EVERY_S:
            return None
        self._kept_s = self._clock()
        try:
            others = sorted(self._rejected.glob("*.der"), key=lambda other: other.stat().st_mtime_ns)
            for other in others[: max(0, len(others) - _MOST_REJECTED + 1)]:
                other.unlink(missing_ok=True)
            write_bytes(path, data)
        except (OSError, InputError) as error:
            self._complain(f"a refused certificate cannot be kept: {error}")
            return None
        return path


def _describe(certificate: x509.Certificate) -> str:
    name = certificate.subject.rfc4514_string()[:120]
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return f"the certificate of a client ({printable}, {', '.join(uris_of(certificate))[:200] or 'without URI'})"
