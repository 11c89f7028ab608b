"""What a broker's answers mean (OASIS MQTT 5.0, 2.4: reason codes).

Promises: a refusal that a person can mend at the broker is worth another try and says what to mend, since nothing is
lost by waiting; only what lies in the message itself (its topic, size or form) is refused for good.
"""

from __future__ import annotations

import socket
import ssl

from glass_edge.adapters.sink import PermanentError, RetryableError

SESSION_TAKEN_OVER = 0x8E
_FAILED = 0x80  # this and above

_NOT_IN = {
    0x01: "speaks no MQTT 5; update it",  # as a broker of MQTT 3 says it
    0x84: "speaks no MQTT 5; update it",
    0x85: "does not take the client id; give another in client_id",
    0x86: "refuses user or password; correct user and password_file",
    0x87: "does not let this client in; allow it there, or correct user and password_file",
    0x88: "is not available; mend it",
    0x89: "is busy; give it more room, or wait",
    0x8A: "has banned this client; lift the ban",
    0x8C: "asks for another way to log in, which this program does not have",
    0x95: "takes only smaller packets; allow larger ones",
    0x97: "has no room for this client; raise its quota",
    0x9A: "keeps no retained messages; allow them",
    0x9B: "takes no messages of QoS 1; allow them",
    0x9C: "sends its clients to another server; give its address as broker",
    0x9D: "has moved; give its new address as broker",
    0x9F: "gets too many connections at once; it is tried again",
}
_NOT_TAKEN = {
    0x87: "does not let this client write there; allow it in its access list",
    0x97: "has no room for this client's messages; raise its quota",
}
_NEVER_TAKEN = {
    0x90: "does not take such a topic",
    0x95: "takes only smaller packets; allow larger ones for the next",
    0x99: "takes no such payload",
}
_LOST = {
    0x81: "could not read what was sent",
    0x82: "says that the protocol was broken",
    0x87: "no longer lets this client in; allow it there",
    0x89: "is busy",
    0x8B: "is being shut down",
    0x8D: "did not hear this client for too long; the network is slow, or keep_alive_s too short",
    SESSION_TAKEN_OVER: "let another client in under the same client id: two adapters share it; give each its own"
    " client_id and end the one that is too many",
    0x93: "got more messages at once than it takes",
    0x96: "gets messages faster than it allows; raise its limit",
    0x97: "has no room for this client; raise its quota",
    0x98: "was told by its operator to close the connection",
    0x9C: "sends its clients to another server; give its address as broker",
    0x9D: "has moved; give its new address as broker",
    0xA0: "closes connections of that age",
}


class LinkLostError(RetryableError):
    """The connection to the broker ended.

    Args:
        message: why, and what to do.
        code: reason code of the broker; None: it gave none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def connect_problem(broker: str, error: BaseException) -> str:
    """Why a connection did not come about, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{broker}: its certificate is not trusted ({error.verify_message}); {_certificate_remedy(error)}"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or error
        return f"{broker}: no TLS 1.2 or later came about ({reason}); does it speak TLS on this port?"
    if isinstance(error, socket.gaierror):
        return f"{broker}: its name is not known ({error.strerror}); correct broker, or mend the name service"
    if isinstance(error, TimeoutError):
        return f"{broker} does not answer; start it, or correct broker"
    if isinstance(error, OSError):
        return f"{broker} cannot be reached ({error.strerror or error}); start it, or correct broker"
    return f"{broker} cannot be reached ({error}); start it, or correct broker"


def refused_in(broker: str, code: int, said: str) -> str:
    """Why a broker did not let a client in."""
    return f"{broker} {_NOT_IN.get(code, f'refuses the connection, reason {code:#04x}')}{_quoted(said)}"


def judge_ack(broker: str, topic: str, code: int, said: str) -> None:
    """Judge the acknowledgement of a message.

    Args:
        broker: who answered.
        topic: of the message.
        code: reason code of PUBACK.
        said: reason string, empty without one.

    Raises:
        RetryableError: try again.
        PermanentError: the broker will not take this message.
    """
    if code < _FAILED:
        return  # 0x10: nobody subscribes to it, which is the mill's affair
    if code in _NEVER_TAKEN:
        raise PermanentError(f"{broker}, {topic}: {_NEVER_TAKEN[code]}{_quoted(said)}")
    text = _NOT_TAKEN.get(code, f"did not take it, reason {code:#04x}; mend the broker")
    raise RetryableError(f"{broker}, {topic}: {text}{_quoted(said)}")


def closed(broker: str, code: int, said: str) -> LinkLostError:
    """The end of a connection that the broker closed.

    Args:
        broker: who closed it.
        code: reason code of DISCONNECT.
        said: reason string, empty without one.
    """
    text = _LOST.get(code) or _NEVER_TAKEN.get(code) or f"closed the connection, reason {code:#04x}"
    return LinkLostError(f"{broker} {text}{_quoted(said)}", code)


def lost(broker: str, said: str) -> LinkLostError:
    """The end of a connection for which the broker gave no reason; `said`: what else is known."""
    if "unspecified error" in said.lower():  # what the library says when it knows nothing
        said = ""
    text = f"the connection to {broker} is lost{_quoted(said)}; start it, or mend the network"
    if "protocol error" in said.lower():  # what it says of a packet that it cannot read
        text = (
            f"{broker} sent what MQTT 5 does not allow; update it; if it is mosquitto, limit sizes by max_packet_size,"
            " not by message_size_limit"
        )
    return LinkLostError(text)


def is_never_taken(code: int | None) -> bool:
    """True when a broker closes a connection with `code` because of the message it got."""
    return code in _NEVER_TAKEN


def _certificate_remedy(error: ssl.SSLCertVerificationError) -> str:
    text = str(error.verify_message).lower()
    if "expired" in text or "not yet valid" in text:
        return "renew it, or set this machine's clock"
    if "mismatch" in text or "doesn't match" in text:
        return "give the host in broker as the certificate names it"
    return "give the PEM file of the authority it comes from as ca_file"


def _quoted(said: str) -> str:
    clean = "".join(character if character.isprintable() else " " for character in said[:300]).strip()
    return f" ({clean})" if clean else ""
