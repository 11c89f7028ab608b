from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.config.base import load_toml
from glass_edge.config.events import EventSettings, check_endpoint
from glass_edge.errors import InputError


@pytest.mark.parametrize(
    ("given_endpoint", "used"),
    [
        ("ipc:///run/glass-edge/events", "ipc:///run/glass-edge/events"),
        ("tcp://127.0.0.1:5561", "tcp://127.0.0.1:5561"),
        ("tcp://127.9.9.9:1", "tcp://127.9.9.9:1"),
        ("tcp://localhost:65535", "tcp://127.0.0.1:65535"),
        ("tcp://[::1]:5561", "tcp://[::1]:5561"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
    ],
)
def test_local_endpoints_are_taken(given_endpoint: str, used: str) -> None:
    assert check_endpoint(given_endpoint) == used


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://192.168.1.5:5561", "unencrypted"),
        ("tcp://0.0.0.0:5561", "unencrypted"),
        ("tcp://*:5561", "unencrypted"),
        ("tcp://eth0:5561", "unencrypted"),
        ("tcp://127.0.0.1.example.org:5561", "unencrypted"),
        ("tcp://[2001:db8::1]:5561", "unencrypted"),
        ("tcp://127.0.0.1", "1 to 65535"),
        ("tcp://127.0.0.1:0", "1 to 65535"),
        ("tcp://127.0.0.1:65536", "1 to 65535"),
        ("ipc://relative/path", "absolute"),
        ("ipc://@abstract", "absolute"),
        ("ipc:///run/", "absolute"),
        ("inproc://events", "no endpoint"),
        ("", "no endpoint"),
    ],
)
def test_other_endpoints_are_refused_with_the_reason(endpoint: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_endpoint(endpoint)


@given(st.integers(90, 120))
def test_the_length_limit_of_socket_files_is_the_systems(length: int) -> None:
    path = "/nowhere/" + "x" * (length - len("/nowhere/"))
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except FileNotFoundError:
            fits = True
        except OSError:  # "AF_UNIX path too long"
            fits = False
    if fits:
        assert check_endpoint(f"ipc://{path}") == f"ipc://{path}"
    else:
        with pytest.raises(ValueError, match="shorter"):
            check_endpoint(f"ipc://{path}")


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text('journal = "/data/loom.journal"\npublish_endpoint = "tcp://localhost:5561"\nbeacon_s = 0.5\n')
    settings = load_toml(path, EventSettings)
    assert settings.journal == Path("/data/loom.journal")
    assert settings.publish_endpoint == "tcp://127.0.0.1:5561"
    assert settings.beacon_s == 0.5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('publish_endpoint = "tcp://10.0.0.1:5561"', ("events.toml:1", "publish_endpoint", "loopback")),
        ('\npublish_endpiont = "x"', ("events.toml:2", "publish_endpiont", "did you mean 'publish_endpoint'")),
        ("beacon_s = 0", ("events.toml:1", "beacon_s")),
        (
            'publish_endpoint = "tcp://127.0.0.1:5561"\nrequest_endpoint = "tcp://localhost:5561"',
            ("both", "tcp://127.0.0.1:5561"),
        ),
    ],
)
def test_bad_settings_name_file_line_and_key(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "events.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_toml(path, EventSettings)
    for part in parts:
        assert part in str(caught.value)
