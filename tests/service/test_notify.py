"""The protocol as sd_notify(3) states it, and systemd's own reader of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import structlog
from notify_peer import NotifyPeer

from glass_edge.service.notify import Notifier


@pytest.mark.parametrize("is_abstract", [False, True])
def test_each_message_is_one_datagram_of_assignments(tmp_path: Path, is_abstract: bool) -> None:
    with NotifyPeer(tmp_path, is_abstract=is_abstract) as peer, Notifier(peer.address, 30.0) as notifier:
        notifier.status("opening")
        notifier.ready("here\nand there")
        notifier.watchdog()
        notifier.stopping("ends", 66.5)
        told = peer.listen(0.1)
    assert told == [
        {"STATUS": "opening"},
        {"READY": "1", "STATUS": "here and there"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1", "STATUS": "ends", "EXTEND_TIMEOUT_USEC": "66500000"},
    ]


def test_the_environment_says_who_listens_and_how_long_the_watchdog_waits() -> None:
    own, other = str(os.getpid()), str(os.getppid())
    for environment, is_heard, watchdog_s in [
        ({}, False, None),
        ({"NOTIFY_SOCKET": ""}, False, None),
        ({"NOTIFY_SOCKET": "/run/x"}, True, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1500000"}, True, 1.5),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": own}, True, 1.5),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": other}, True, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"}, True, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, True, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, False, None),
    ]:
        with Notifier.from_environment(environment) as notifier:
            assert (notifier.is_heard, notifier.watchdog_s) == (is_heard, watchdog_s), environment


def test_nothing_is_told_where_nobody_listens(tmp_path: Path) -> None:
    for notifier in (Notifier(), Notifier(str(tmp_path / "no-such-socket"))):
        notifier.ready("here")
        notifier.watchdog()
        notifier.close()
        notifier.status("closed")


def test_a_full_socket_costs_the_status_and_no_time(tmp_path: Path) -> None:
    with NotifyPeer(tmp_path) as peer, Notifier(peer.address) as notifier, structlog.testing.capture_logs() as logged:
        begun = time.monotonic()
        for number in range(5000):  # more than net.unix.max_dgram_qlen, which nobody reads
            notifier.status(f"{number}")
        assert time.monotonic() - begun < 2
        told = [message["STATUS"] for message in peer.listen(0.2)]
        assert told == [str(number) for number in range(len(told))]
        assert 0 < len(told) < 5000
    assert [line["event"] for line in logged] == ["service.systemd_not_told"]


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="needs systemd-notify of the package systemd")
def test_systemd_s_own_client_says_the_same(tmp_path: Path) -> None:
    with NotifyPeer(tmp_path) as peer:
        environment = os.environ | {"NOTIFY_SOCKET": peer.address}
        subprocess.run(["systemd-notify", "--ready", "--status=here", "--no-block"], env=environment, check=True)
        theirs = peer.listen_until(lambda message: "READY" in message, 5)[-1]
        with Notifier(peer.address) as notifier:
            notifier.ready("here")
        ours = peer.listen_until(lambda message: "READY" in message, 5)[-1]
    theirs.pop("MAINPID", None)
    assert ours == theirs
