"""A station, its OPC UA server and its clients, for the tests."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters_support import QUICK, client_of, ipc_settings
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from glass_edge.adapters import opcua_users
from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.opcua import OpcuaSink
from glass_edge.adapters.opcua_certificates import make_certificate
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.runner import Runner
from glass_edge.adapters.status_file import StatusFile
from glass_edge.config.adapter_opcua import OpcuaAdapterSettings, OpcuaSettings, load_opcua_adapter
from glass_edge.config.events import Role
from glass_edge.events.errors import RequestRefusedError
from glass_edge.events.payloads import EngineActivated, StationState, Status, StopRequest
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Draft

SERVER_URI, CLIENT_URI = "urn:mill:glass-edge:loom1", "urn:mill:plc"
OWN, VISION = 3, 2  # indexes of the namespaces
PASSWORD = "correct horse"
QUICK_HASH = {"n": 1 << 14, "r": 1, "p": 1}
VISION_URI, OWN_URI = "http://opcfoundation.org/UA/MachineVision", "urn:glass-edge:ua"


@dataclass
class Loom:
    """Carries out commands, and remembers them."""

    done: list[tuple[object, ...]] = field(default_factory=list)
    refuses: str = ""
    waits_s: float = 0.0

    def _do(self, *what: object) -> None:
        if self.refuses:
            raise RequestRefusedError(self.refuses)
        threading.Event().wait(self.waits_s)
        self.done.append(what)

    def change_roll(self, roll_id: str) -> int:
        self._do("roll", roll_id)
        return 1234

    def change_recipe(self, style: str, version: str | None) -> str:
        self._do("recipe", style, version)
        return version or "newest"

    def set_bypass(self, is_on: bool, reason: str) -> None:
        self._do("bypass", is_on, reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def identity(folder: Path, name: str, uri: str) -> tuple[Path, Path]:
    """A certificate and its key."""
    certificate, key = folder / f"{name}.der", folder / f"{name}-key.pem"
    settings = OpcuaSettings(
        application_uri=uri, certificate=certificate, private_key=str(key), trusted=folder / "none"
    )
    make_certificate(settings, ["127.0.0.1", "localhost"])
    return certificate, key


def write_settings(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "opcua.toml"
    path.write_text(
        f"""adapter = "mill-opcua"
[source]
publish_endpoint = "ipc://{folder}/pub"
request_endpoint = "ipc://{folder}/req"
[opcua]
endpoint = "opc.tcp://127.0.0.1:{port}/glass-edge"
application_uri = "{SERVER_URI}"
certificate = "server.der"
private_key = "server-key.pem"
trusted = "trusted"
users = "users.json"
most_results = 3
command_timeout_s = 2
{more}
[state]
folder = "state"
[retry]
first_s = 0.01
most_s = 0.1
"""
    )
    return path


def prepare(folder: Path, more: str = "") -> OpcuaAdapterSettings:
    """All that an adapter needs: certificates, a trusted client, a user of each role."""
    identity(folder, "server", SERVER_URI)
    certificate, _ = identity(folder, "client", CLIENT_URI)
    (folder / "trusted").mkdir()
    (folder / "trusted/plc.der").write_bytes(certificate.read_bytes())
    cost, opcua_users._COST = opcua_users._COST, QUICK_HASH
    for role in Role:
        opcua_users.add_user(folder / "users.json", role, role, PASSWORD)
    opcua_users._COST = cost
    return load_opcua_adapter(write_settings(folder, free_port(), more))


class Adapter:
    """The adapter in a thread of its own, which also makes its stores; a context manager."""

    def __init__(self, folder: Path, settings: OpcuaAdapterSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._stop, self._ready = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        state, log = self._folder / "state", RepeatedLog("test")
        try:
            with closing(OpcuaSink(self._settings, None)) as sink, client_of(self._folder) as client:
                status = StatusFile(state / "status.json", "test", lambda text: log.tell("status", text))
                letters = DeadLetters(state / "dead-letters.jsonl", 1 << 20)
                self._ready.set()
                Runner(client, sink, letters=letters, status=status, log=log, retry=QUICK, stop=self._stop).run()
        except BaseException as error:  # noqa: BLE001 - raised where it ends
            self._error = error
        self._ready.set()

    def __enter__(self) -> Adapter:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error


class Mill:
    """A station and the adapter that shows it; a context manager."""

    def __init__(self, folder: Path, settings: OpcuaAdapterSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.loom = Loom()
        self.url = settings.opcua.endpoint
        self.publisher = Publisher(ipc_settings(folder), "loom1", self.loom)

    def __enter__(self) -> Mill:
        self.publisher.start()
        self.adapter = Adapter(self.folder, self.settings)
        self.adapter.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.adapter.__exit__()
        finally:
            self.publisher.close()

    def head(self) -> int:
        """Number of the newest event."""
        with self.publisher.journal.reader() as reader:
            return reader.extent().head

    def documents_after(self, seq: int) -> list[str]:
        with self.publisher.journal.reader() as reader:
            return [stored.document for stored in reader.read(seq + 1, 1000).events]

    def status(self) -> dict[str, Any]:
        path = self.folder / "state/status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": None}

    @asynccontextmanager
    async def client(
        self, user: str | None = "observer", password: str = PASSWORD, name: str = "client", uri: str = CLIENT_URI
    ) -> AsyncIterator[Client]:
        async with connected(self.folder, self.url, user, password=password, name=name, uri=uri) as client:
            yield client


@asynccontextmanager
async def connected(
    folder: Path, url: str, user: str | None, *, password: str = PASSWORD, name: str = "client", uri: str = CLIENT_URI
) -> AsyncIterator[Client]:
    """A client of the server whose certificate lies in `folder`."""
    client = Client(url, timeout=10)
    client.application_uri = uri
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=folder / f"{name}.der",
        private_key=folder / f"{name}-key.pem",
        server_certificate=str(folder / "server.der"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    if user is not None:
        client.set_user(user)
        client.set_password(password)
    async with client:
        yield client


class Heard:
    """What a subscription was told."""

    def __init__(self) -> None:
        self.values: dict[str, list[ua.DataValue]] = {}
        self.events: list[Any] = []

    def datachange_notification(self, node: Any, value: object, data: Any) -> None:  # noqa: ANN401
        del value
        self.values.setdefault(str(node.nodeid.Identifier), []).append(data.monitored_item.Value)

    def event_notification(self, event: Any) -> None:  # noqa: ANN401
        self.events.append(event)


async def until(condition: Any, what: str, timeout_s: float = 20.0) -> None:  # noqa: ANN401
    """Wait for `condition`, plain or a coroutine function."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline_s, f"never came: {what}"
        await asyncio.sleep(0.02)


def status(state: StationState, fault: str | None = None, **more: Any) -> Draft:  # noqa: ANN401
    payload = Status(state=state, fault_code=fault, message=None if fault is None else "mend it", **more)
    return Draft(kind="status", is_simulated=True, is_partial=False, roll_id=None, style=None, payload=payload)


def activated(style: str, version: str) -> Draft:
    payload = EngineActivated(
        style=style, version=version, model_sha256="ab" * 32, runtime="test", precision="f32", threshold_logit=1.5
    )
    return Draft(
        kind="engine.activated", is_simulated=True, is_partial=False, roll_id=None, style=None, payload=payload
    )


def stop_request(request_id: str) -> Draft:
    payload = StopRequest(request_id=request_id, reason="a hole", cause="hole", defect_id=7)
    return Draft(kind="stop.request", is_simulated=True, is_partial=True, roll_id=None, style=None, payload=payload)


# a client in a process of its own, with nothing but what the server tells it: what it is told goes to standard output
FOREIGN = """
import asyncio, json, sys
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

folder, url = sys.argv[1:]

class Heard:
    def event_notification(self, event):
        print(json.dumps({"event": event.Message.Text}), flush=True)

async def main():
    client = Client(url, timeout=30)
    client.application_uri = "urn:mill:plc"
    await client.set_security(SecurityPolicyBasic256Sha256, folder + "/client.der", folder + "/client-key.pem")
    client.set_user("observer")
    client.set_password("correct horse")
    async with client:
        await client.load_data_type_definitions()
        for node in await client.get_node("ns=3;s=VisionSystem.ResultManagement.Results").get_children():
            result = await node.read_value()
            told = {"roll": result.JobId.Id, "hash": result.ExternalRecipeId.Hash.hex(), "state": result.ResultState}
            told["type"] = type(result.ExternalRecipeId).__name__
            told["content"] = json.loads(result.ResultContent[0].Value)["roll_id"]
            print(json.dumps(told), flush=True)
        subscription = await client.create_subscription(50, Heard())
        kind = client.get_node("ns=3;s=DefectEventType")
        await subscription.subscribe_events(client.get_node("ns=3;s=VisionSystem"), kind, queuesize=100)
        print(json.dumps("listening"), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def foreign(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", FOREIGN, str(folder), url], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def lines_of(process: subprocess.Popen[str]) -> Iterator[Any]:
    assert process.stdout is not None
    return (json.loads(line) for line in process.stdout)


def is_listening(settings: OpcuaAdapterSettings) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((settings.opcua.host, settings.opcua.port)) == 0


async def quality(client: Client, path: str) -> tuple[Any, str]:
    value = await client.get_node(ua.NodeId(f"VisionSystem.{path}", OWN)).read_data_value(raise_on_bad_status=False)
    return value.Value.Value, value.StatusCode.name
