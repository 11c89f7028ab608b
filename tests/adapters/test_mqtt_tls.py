"""The MQTT adapter at a real mosquitto over TLS, with good and bad certificates."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mosquitto_server import Mosquitto, free_port, needs_mosquitto

pytest.importorskip("aiomqtt")

from mqtt_support import mqtt_adapter, mqtt_settings

from glass_edge.adapters.mqtt_tls import tls_context
from glass_edge.config.adapter_mqtt import MqttSettings
from glass_edge.errors import InputError
from glass_edge.events.publisher import Publisher

pytestmark = needs_mosquitto
Key = ec.EllipticCurvePrivateKey


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """An authority and what it signs, as PEM files in a folder."""

    def __init__(self, folder: Path, title: str) -> None:
        self._folder = folder
        self._title = title
        self._key: Key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._begin(title, self._key, hours=1).add_extension(basic, critical=True)
        self.ca = folder / f"{title}.pem"
        self.ca.write_bytes(self._sign(certificate))

    def _begin(self, subject: str, key: Key, hours: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(self._title))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=2))
            .not_valid_after(now + datetime.timedelta(hours=hours))
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, title: str, *, host: str = "127.0.0.1", hours: int = 1) -> tuple[Path, Path]:
        """Certificate and key; negative `hours`: expired."""
        key: Key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)]
        )
        certificate, secret = self._folder / f"{title}.crt", self._folder / f"{title}.key"
        certificate.write_bytes(self._sign(self._begin(title, key, hours).add_extension(names, critical=False)))
        secret.touch(mode=0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret


def tls_broker(folder: Path, ca: Path, pair: tuple[Path, Path], *lines: str) -> tuple[Mosquitto, str]:
    """A mosquitto with a second listener that speaks TLS, and its URL."""
    port = free_port()
    tls = [f"listener {port} 127.0.0.1", f"cafile {ca}", f"certfile {pair[0]}", f"keyfile {pair[1]}", *lines]
    return Mosquitto(folder, *tls, "allow_anonymous true"), f"mqtts://127.0.0.1:{port}"


def test_events_go_over_tls_to_a_broker_that_is_who_it_says(short_path: Path) -> None:
    authority = Authority(short_path, "mill")
    broker, url = tls_broker(short_path, authority.ca, authority.issue("server"))
    with broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(idle_draft())
        with mqtt_adapter(mqtt_settings(short_path, url, ca_file=authority.ca)):
            eventually(lambda: offset_seq(short_path) == 1, "the event")
    assert "TLSv1.3" in broker.log() or "TLSv1.2" in broker.log() or "p5" in broker.log()


Case = Callable[[Path, Authority], tuple[Path, tuple[Path, Path]]]


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (lambda folder, mill: (Authority(folder, "other").ca, mill.issue("server")), "as ca_file"),
        (lambda _, mill: (mill.ca, mill.issue("server", host="broker.mill")), "as the certificate names it"),
        (lambda _, mill: (mill.ca, mill.issue("server", hours=-1)), "renew it, or set this machine's clock"),
    ],
    ids=["unknown authority", "wrong host", "expired"],
)
def test_a_broker_that_is_not_trusted_gets_nothing_until_it_is_mended(short_path: Path, case: Case, text: str) -> None:
    authority = Authority(short_path, "mill")
    ca_file, pair = case(short_path, authority)
    used = short_path / "ca.pem"
    shutil.copy(ca_file, used)
    broker, url = tls_broker(short_path, authority.ca, pair)
    with broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(idle_draft())
        with mqtt_adapter(mqtt_settings(short_path, url, ca_file=used)) as running:
            eventually(lambda: running.status()["state"] == "retrying", "the refusal")
            assert text in running.status()["last_error"]["text"]
            assert "its certificate is not trusted" in running.status()["last_error"]["text"]
            assert offset_seq(short_path) == 0
            if "ca_file" in text:
                shutil.copy(authority.ca, used)
                eventually(lambda: offset_seq(short_path) == 1, "the event, with the authority mended while it runs")


def test_a_client_certificate_is_shown_where_the_broker_asks_for_one(short_path: Path) -> None:
    authority = Authority(short_path, "mill")
    broker, url = tls_broker(short_path, authority.ca, authority.issue("server"), "require_certificate true")
    certificate, key = authority.issue("loom1", host="loom1")
    with broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(idle_draft())
        with mqtt_adapter(mqtt_settings(short_path, url, ca_file=authority.ca)) as running:
            eventually(lambda: running.status()["state"] == "retrying", "the refusal")
            told = running.status()["last_error"]["text"]
            assert "does it ask for a client certificate" in told or "is lost" in told, told
            assert offset_seq(short_path) == 0
        good = mqtt_settings(short_path, url, ca_file=authority.ca, client_certificate=certificate, client_key=str(key))
        with mqtt_adapter(good):
            eventually(lambda: offset_seq(short_path) == 1, "the event")


def test_the_wrong_protocol_on_a_port_is_told(short_path: Path) -> None:
    authority = Authority(short_path, "mill")
    broker, url = tls_broker(short_path, authority.ca, authority.issue("server"))
    with broker, Publisher(ipc_settings(short_path), "loom1"):
        with mqtt_adapter(mqtt_settings(short_path, url.replace("mqtts", "mqtt"))) as running:
            eventually(lambda: running.status()["state"] == "retrying", "the refusal")
            assert "does it ask for TLS (mqtts://)" in running.status()["last_error"]["text"]
        plain = broker.url.replace("mqtt", "mqtts")
        with mqtt_adapter(mqtt_settings(short_path, plain, ca_file=authority.ca)) as running:
            eventually(lambda: "MQTT 5 over TLS on this port" in str(running.status().get("last_error")), "the refusal")


def test_files_that_are_no_certificates_or_open_to_others_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "mill")
    certificate, key = authority.issue("loom1")
    _, other_key = authority.issue("loom2")
    (tmp_path / "none").write_text("nothing")

    def context(**fields: object) -> None:
        tls_context(MqttSettings.model_validate({"broker": "mqtts://b", "ca_file": authority.ca} | fields))

    context(client_certificate=certificate, client_key=str(key))
    for path in (tmp_path / "none", tmp_path / "absent"):
        with pytest.raises(InputError, match=rf"{path.name}: cannot be read as certificates"):
            context(ca_file=path)
    with pytest.raises(InputError, match="files of one pair"):
        context(client_certificate=certificate, client_key=str(other_key))
    key.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        context(client_certificate=certificate, client_key=str(key))


def test_a_key_with_a_password_is_refused_and_not_asked_for_on_the_terminal(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "mill")
    certificate, path = authority.issue("loom1")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    settings = MqttSettings(broker="mqtts://b", client_certificate=certificate, client_key=str(path))
    with pytest.raises(InputError, match="the key without a password"):
        tls_context(settings)
