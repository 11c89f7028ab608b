"""Who gets into the OPC UA server, and who does not."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256
from opcua_support import (
    CLIENT_URI,
    OWN,
    PASSWORD,
    QUICK_HASH,
    SERVER_URI,
    Heard,
    Mill,
    identity,
    prepare,
    status,
    until,
)

from glass_edge.adapters import opcua_certificates, opcua_users
from glass_edge.adapters.opcua_certificates import make_certificate
from glass_edge.config.adapter_opcua import OpcuaSettings
from glass_edge.config.events import Role
from glass_edge.errors import InputError
from glass_edge.events.payloads import StationState

SIGN_AND_ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt


@pytest.fixture(scope="module")
def mill() -> Iterator[Mill]:
    folder = Path(tempfile.mkdtemp(prefix="ge-"))
    settings = prepare(folder)
    identity(folder, "stranger", CLIENT_URI)
    with Mill(folder, settings) as running:
        running.publisher.emit(status(StationState.READY))
        yield running
    shutil.rmtree(folder)


async def read_name(client: Client) -> Any:  # noqa: ANN401
    return await client.get_node(ua.NodeId("VisionSystem.Station.Name", OWN)).read_data_value(raise_on_bad_status=False)


async def enter(mill: Mill, **how: Any) -> None:  # noqa: ANN401
    async with mill.client(**how) as client:
        await read_name(client)


def test_only_strong_encryption_is_offered_and_both_policies_work(mill: Mill) -> None:
    async def look() -> None:
        anonymous = Client(mill.url, timeout=5)
        endpoints = await anonymous.connect_and_get_server_endpoints()
        assert {(one.SecurityPolicyUri.rpartition("#")[2], one.SecurityMode) for one in endpoints} == {
            ("Basic256Sha256", SIGN_AND_ENCRYPT),
            ("Aes256_Sha256_RsaPss", SIGN_AND_ENCRYPT),
        }
        for one in endpoints:
            assert [token.TokenType for token in one.UserIdentityTokens] == [ua.UserTokenType.UserName]
            assert one.ServerCertificate == (mill.folder / "server.der").read_bytes()
            assert one.Server.ApplicationUri == SERVER_URI
        for policy in (SecurityPolicyBasic256Sha256, SecurityPolicyAes256Sha256RsaPss):
            client = Client(mill.url, timeout=5)
            client.application_uri = CLIENT_URI
            await client.set_security(policy, mill.folder / "client.der", mill.folder / "client-key.pem")
            client.set_user("observer")
            client.set_password(PASSWORD)
            async with client:
                assert (await read_name(client)).Value.Value == "loom1"

    asyncio.run(look())


@pytest.mark.parametrize(("user", "password"), [("observer", "wrong password"), ("nobody", PASSWORD), ("observer", "")])
def test_a_wrong_password_and_an_unknown_user_are_refused(mill: Mill, user: str, password: str) -> None:
    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
        asyncio.run(enter(mill, user=user, password=password))


def test_without_a_user_nobody_is_let_in(mill: Mill) -> None:
    with pytest.raises(ua.UaError) as refused:
        asyncio.run(enter(mill, user=None))
    assert isinstance(refused.value, ua.uaerrors.BadIdentityTokenRejected)


def test_a_stranger_is_refused_kept_and_let_in_once_a_person_trusts_it(mill: Mill) -> None:
    rejected = mill.folder / "state/rejected"
    time.sleep(1.0)  # one a second is kept
    with pytest.raises(ua.uaerrors.BadCertificateUntrusted):
        asyncio.run(enter(mill, name="stranger"))
    kept = list(rejected.glob("*.der"))
    assert [path.read_bytes() for path in kept] == [(mill.folder / "stranger.der").read_bytes()]
    trusted = mill.folder / "trusted/stranger.der"
    kept[0].rename(trusted)
    asyncio.run(enter(mill, name="stranger"))
    trusted.unlink()
    with pytest.raises(ua.uaerrors.BadCertificateUntrusted):
        asyncio.run(enter(mill, name="stranger"))
    for path in rejected.glob("*.der"):
        path.unlink()


def test_a_client_that_calls_itself_otherwise_than_its_certificate_is_refused(mill: Mill) -> None:
    with pytest.raises(ua.uaerrors.BadCertificateUriInvalid):
        asyncio.run(enter(mill, uri="urn:someone:else"))


def test_a_stranger_that_shows_a_trusted_certificate_is_refused(mill: Mill) -> None:
    """The channel is the stranger's; the certificate that it shows for the session is the trusted client's."""

    async def sneak(certificate: bytes | None) -> None:
        client = Client(mill.url, timeout=5)
        client.application_uri = CLIENT_URI
        await client.set_security(
            SecurityPolicyBasic256Sha256, mill.folder / "stranger.der", mill.folder / "stranger-key.pem"
        )
        client.set_user("engineer")
        client.set_password(PASSWORD)
        sending = client.uaclient.create_session

        async def create(parameters: ua.CreateSessionParameters) -> Any:  # noqa: ANN401
            parameters.ClientCertificate = certificate
            return await sending(parameters)

        client.uaclient.create_session = create
        async with client:
            await read_name(client)

    for shown in ((mill.folder / "client.der").read_bytes(), None, b"no certificate"):
        with pytest.raises(ua.UaError):
            asyncio.run(sneak(shown))
    for path in (mill.folder / "state/rejected").glob("*.der"):
        path.unlink()


def test_a_channel_without_encryption_gets_no_session(mill: Mill) -> None:
    async def sneak() -> None:
        client = Client(mill.url, timeout=5)
        client.application_uri = CLIENT_URI
        client.set_user("engineer")
        client.set_password(PASSWORD)
        client.security_policy.host_certificate = (mill.folder / "client.der").read_bytes()
        await client.connect_socket()
        try:
            await client.send_hello()
            await client.open_secure_channel()
            node = client.get_node(ua.NodeId("VisionSystem.Station.Name", OWN))
            with pytest.raises(ua.UaError):
                await node.read_value()  # no session
            parameters = ua.CreateSessionParameters()
            parameters.ClientNonce = bytes(32)
            parameters.ClientCertificate = (mill.folder / "client.der").read_bytes()
            parameters.ClientDescription.ApplicationUri = CLIENT_URI
            parameters.EndpointUrl = mill.url
            parameters.SessionName = "sneak"
            parameters.RequestedSessionTimeout = 60000
            await client.uaclient.create_session(parameters)
            with pytest.raises(ua.UaError):
                await node.read_value()  # a session that was not activated
            token = ua.UserNameIdentityToken(PolicyId="username", UserName="engineer", Password=PASSWORD.encode())
            activation = ua.ActivateSessionParameters()
            activation.UserIdentityToken = token
            with pytest.raises(ua.uaerrors.BadSecurityChecksFailed):
                await client.uaclient.activate_session(activation)
            with pytest.raises(ua.UaError):
                await node.read_value()
            server = ua.RegisteredServer()
            server.ServerUri, server.ServerNames = "urn:x", [ua.LocalizedText("x")]
            with pytest.raises(ua.uaerrors.BadServiceUnsupported):
                await client.uaclient.register_server(server)
        finally:
            client.uaclient.disconnect_socket()

    asyncio.run(sneak())


def test_a_user_who_is_changed_or_removed_counts_from_the_next_call_on(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_users, "_COST", QUICK_HASH)
    users = mill.folder / "users.json"
    method = ua.NodeId("VisionSystem.Station.SetBypass", OWN)

    async def work() -> None:
        opcua_users.add_user(users, "anna", Role.CONTROLLER, PASSWORD)
        async with mill.client("anna") as client:
            station = client.get_node(ua.NodeId("VisionSystem.Station", OWN))
            assert (await station.call_method(method, False, ""))[0] == 0
            opcua_users.add_user(users, "anna", Role.OBSERVER, PASSWORD)
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await station.call_method(method, False, "")
            opcua_users.add_user(users, "anna", Role.ENGINEER, PASSWORD)
            assert (await station.call_method(method, False, ""))[0] == 0
            opcua_users.remove_user(users, "anna")
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await station.call_method(method, False, "")

    asyncio.run(work())
    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
        asyncio.run(enter(mill, user="anna"))


def test_a_client_reaches_no_subscription_but_its_own(mill: Mill) -> None:
    async def meddle() -> None:
        async with mill.client("observer") as victim, mill.client("engineer") as other, mill.client("observer") as same:
            heard = Heard()
            subscription = await victim.create_subscription(50, heard)
            number = victim.get_node(ua.NodeId("VisionSystem.Station.EventNumber", OWN))
            handle = await subscription.subscribe_data_change(number)
            foreign, session = subscription.subscription_id, other.uaclient
            refused = ua.StatusCodes.BadSubscriptionIdInvalid
            assert [code.value for code in await session.delete_subscriptions([foreign])] == [refused]
            mode = ua.SetPublishingModeParameters(PublishingEnabled=False, SubscriptionIds=[foreign])
            assert [code.value for code in await session.set_publishing_mode(mode)] == [refused]
            items = ua.DeleteMonitoredItemsParameters(SubscriptionId=foreign, MonitoredItemIds=[handle])
            with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
                await session.delete_monitored_items(items)
            take = ua.TransferSubscriptionsParameters(SubscriptionIds=[foreign], SendInitialValues=False)
            [stolen] = await session.transfer_subscriptions(take)
            assert stolen.StatusCode.value == refused
            await until(lambda: heard.values, "the first value")
            [event] = mill.publisher.emit_all([status(StationState.READY)])
            path = "VisionSystem.Station.EventNumber"
            await until(lambda: heard.values[path][-1].Value.Value == event.seq, "the next")
            [taken] = await same.uaclient.transfer_subscriptions(take)
            assert taken.StatusCode.is_good()  # the same user, after its connection broke

    asyncio.run(meddle())


def test_garbage_and_an_endless_message_cut_the_connection_and_disturb_nobody(mill: Mill) -> None:
    async def disturb() -> None:
        async with mill.client() as client:
            host, port = mill.settings.opcua.host, mill.settings.opcua.port
            for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"MSGF" + (1 << 30).to_bytes(4, "little")):
                with socket.create_connection((host, port), timeout=10) as sender:
                    sender.sendall(data)
                    if data.startswith(b"MSGF"):  # a gigabyte is promised; a megabyte is too much
                        with pytest.raises(OSError, match=r"reset|Broken"):
                            sender.sendall(bytes(128 << 20))
                assert (await read_name(client)).Value.Value == "loom1"

    asyncio.run(disturb())


def test_an_expired_client_is_refused_with_the_reason(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua_certificates, "_VALID", -timedelta(minutes=1))
    certificate, _ = identity(mill.folder, "old", CLIENT_URI)
    (mill.folder / "trusted/old.der").write_bytes(certificate.read_bytes())
    with pytest.raises(ua.uaerrors.BadCertificateTimeInvalid):
        asyncio.run(enter(mill, name="old"))


def test_without_encryption_on_this_machine_users_come_in_with_their_password(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ge-"))
    settings = prepare(folder, 'security = "none"\nallow_anonymous = true')
    try:
        with Mill(folder, settings) as mill:
            mill.publisher.emit(status(StationState.READY))

            async def look() -> None:
                async with Client(mill.url, timeout=5) as client:
                    await until(lambda: is_there(client), "the station")
                    station = client.get_node(ua.NodeId("VisionSystem.Station", OWN))
                    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                        await station.call_method(ua.NodeId("VisionSystem.Station.ChangeRoll", OWN), "R")
                client = Client(mill.url, timeout=5)
                client.set_user("controller")
                client.set_password(PASSWORD)
                async with client:
                    station = client.get_node(ua.NodeId("VisionSystem.Station", OWN))
                    method = ua.NodeId("VisionSystem.Station.ChangeRoll", OWN)
                    assert await station.call_method(method, "R") == [0, ""]
                client.set_password("wrong password")
                with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                    await client.connect()

            async def is_there(client: Client) -> bool:
                return (await read_name(client)).StatusCode.is_good()

            asyncio.run(look())
    finally:
        shutil.rmtree(folder)


def test_keys_are_not_overwritten(tmp_path: Path) -> None:
    certificate, key = identity(tmp_path, "a", CLIENT_URI)
    before = certificate.read_bytes(), key.read_bytes()
    settings = OpcuaSettings(
        application_uri=CLIENT_URI, certificate=certificate, private_key=str(key), trusted=tmp_path
    )
    with pytest.raises(InputError, match="is there already"):
        make_certificate(settings, ["localhost"])
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert key.stat().st_mode & 0o777 == 0o600
