"""Every reason that MQTT 5 knows, against the library's table of them."""

from __future__ import annotations

import socket
import ssl

import pytest

from glass_edge.adapters.mqtt_reasons import closed, connect_problem, is_never_taken, judge_ack, lost, refused_in
from glass_edge.adapters.sink import PermanentError, RetryableError

paho_reasons = pytest.importorskip("paho.mqtt.reasoncodes")
from paho.mqtt.packettypes import PacketTypes  # noqa: E402

BROKER = "broker.mill:8883"


def codes_of(packet: int) -> list[int]:
    """Reason codes that a packet may carry."""
    names = paho_reasons.ReasonCode.names
    return [code for code, kinds in names.items() if any(packet in packets for packets in kinds.values())]


def test_every_acknowledgement_is_taken_refused_for_now_or_for_good() -> None:
    taken, never = {0x00, 0x10}, {0x90, 0x99}
    assert {0x87, 0x97} | taken | never < set(codes_of(PacketTypes.PUBACK))
    for code in codes_of(PacketTypes.PUBACK):
        if code in taken:
            judge_ack(BROKER, "mill/loom1/gap", code, "")
            continue
        kind = PermanentError if code in never else RetryableError
        with pytest.raises(kind, match=r"mill/loom1/gap: .*\(said so\)$"):
            judge_ack(BROKER, "mill/loom1/gap", code, "said so\n")


def test_every_refusal_of_a_connection_says_who_and_what_to_do() -> None:
    texts = {code: refused_in(BROKER, code, "") for code in codes_of(PacketTypes.CONNACK) if code >= 0x80}
    assert len(texts) > 15
    assert all(text.startswith(BROKER) for text in texts.values())
    assert "user and password_file" in texts[0x86]
    assert "MQTT 5" in texts[0x84]
    assert "0x82" in texts[0x82]  # protocol error: ours, for which there is no remedy but its number


def test_every_reason_of_an_end_keeps_its_code() -> None:
    for code in codes_of(PacketTypes.DISCONNECT):
        problem = closed(BROKER, code, "why")
        assert problem.code == code
        assert str(problem).startswith(BROKER)
        assert is_never_taken(code) == (code in (0x90, 0x95, 0x99))
    assert lost(BROKER, "").code is None
    assert "max_packet_size" in str(lost(BROKER, "[code:130] Protocol error"))
    assert "(" not in str(lost(BROKER, "[code:128] Unspecified error"))


def certificate_error(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (certificate_error("certificate has expired"), "renew it, or set this machine's clock"),
        (certificate_error("certificate is not yet valid"), "set this machine's clock"),
        (
            certificate_error("IP address mismatch, certificate is not valid for '127.0.0.1'"),
            "as the certificate names",
        ),
        (certificate_error("unable to get local issuer certificate"), "as ca_file"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "does it speak TLS on this port"),
        (socket.gaierror(-2, "Name or service not known"), "its name is not known"),
        (ConnectionRefusedError(111, "Connection refused"), "start it, or correct broker"),
        (TimeoutError(), "does not answer"),
        (RuntimeError("else"), "(else)"),
    ],
)
def test_why_a_connection_does_not_come_about(error: BaseException, remedy: str) -> None:
    text = connect_problem(BROKER, error)
    assert BROKER in text
    assert remedy in text
