"""The mill of the suite of faults: a virtual loom, its station, four adapters and what they deliver to."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fault_units import Unit
from https_server import Answer, HttpsServer, Taken, make_certificates
from tcp_proxy import TcpProxy, free_port

from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.acquisition.virtual_loom.build import compiler
from glass_edge.service.web_place import WebPlace, load_place, place_path

COUNTS, WIDTH, RATE_HZ, MM = 4, 512, 300.0, 0.1
ADAPTERS = ("files", "sql", "webhook", "modbus")
_ENGINE = Path(__file__).parents[2] / "engines" / "demo"
_PROFILE = f"""
model = "VirtualLoom"
pixel_format = "Mono8"
block_lines = 64
line_trigger = "encoder"
encoder_divider = {COUNTS}
exposure_us = 50
required_chunks = ["encoder", "frame_id"]
"""
_STATION = """
station = "loom1"
bundle = "{engine}"
[camera]
kind = "genicam"
cti = ["{folder}/loom/virtual_loom.cti"]
serial_number = "LOOM-1"
profile = "{folder}/profile.toml"
stall_s = 1.0
longest_pause_s = 0.5
give_up_s = 4.0
open_timeout_s = 60.0
ring_blocks = 16
[web]
mm_per_px = {mm}
mm_per_line = {mm}
span = {{ left_px = 0, right_px = {width} }}
[engine]
precision = "f32"
threads = 1
cache_folder = "{folder}/cache"
[inspection]
progress_s = 0.25
[events]
journal = "{disk}/events.journal"
publish_endpoint = "ipc://{folder}/pub"
request_endpoint = "ipc://{folder}/req"
status_s = 1.0
beacon_s = 0.3
[stop]
enabled = true
min_interval_s = 2.0
min_interval_m = 0.1
[drift]
every_m = 0.1
least_m = 0.05
least_rolls = 8
[metrics]
port = {metrics}
adapter_folders = [{states}]
[output]
folder = "{disk}/pictures"
crops_mb = 1
reports = false
"""
_ADAPTER = """
adapter = "{kind}"
[source]
publish_endpoint = "ipc://{folder}/pub"
request_endpoint = "ipc://{folder}/req"
station = "loom1"
start = "oldest"
[state]
folder = "{state}"
[retry]
first_s = 0.1
most_s = 1.0
"""


def eventually(condition: Callable[[], bool], what: Callable[[], str] | str, timeout_s: float = 180.0) -> float:
    """Wait for `condition`; seconds it took."""
    begun_s = time.monotonic()
    while not condition():
        if time.monotonic() > begun_s + timeout_s:
            raise AssertionError(f"never came: {what if isinstance(what, str) else what()}")
        time.sleep(0.03)
    return time.monotonic() - begun_s


class Disk:
    """A small disk of its own where one can be mounted, else a folder."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        folder.mkdir()
        self.folder, self._ballast = folder, folder / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
        self.is_own = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("ab") as stream, contextlib.suppress(OSError):
            while True:
                os.write(stream.fileno(), bytes(4096))

    def free(self) -> None:
        """Room again."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away."""
        if self.is_own:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Server:
    """Takes each event once by its idempotency key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.ca, pem = make_certificates(folder)
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
        self._lock = threading.Lock()
        self.first: dict[str, str] = {}
        self.repeats: Counter[str] = Counter()
        self.changed: list[str] = []
        self.server = HttpsServer(pem, self._answer)

    def _answer(self, taken: Taken) -> Answer | None:
        key, text = taken.headers["Idempotency-Key"], taken.body.decode()
        with self._lock:
            if key in self.first:
                self.repeats[key] += 1
                if self.first[key] != text:
                    self.changed.append(key)
            self.first.setdefault(key, text)
        return (204, {}, b"")


class Mill:
    """All of it; a context manager. Processes are started by `start`.

    Args:
        folder: short enough for socket files.
        restart_s: pause of the supervisor; None: the units'.
        journal_mb, state_mb: sizes of the disks.
    """

    def __init__(self, folder: Path, *, restart_s: float | None, journal_mb: int = 24, state_mb: int = 16) -> None:
        self.folder = folder
        self.station_disk, self.state_disk = Disk(folder / "d", journal_mb), Disk(folder / "a", state_mb)
        self.journal = self.station_disk.folder / "events.journal"
        self.server = Server(folder / "web")
        self.proxy = TcpProxy(self.server.server.port)
        self.database = folder / "events.sqlite"
        self.modbus_port = free_port()
        self.clock = folder / "clock"
        self.set_clock(0)
        spec = LoomSpec(
            cloth="photo:linen",
            width_px=WIDTH,
            mm_per_px=MM,
            mm_per_line=MM,
            section_lines=2000,
            defects=parse_orders("hole:1@3x3,stain:1@8x6"),
        )
        lines = LoomRenderer(spec).render(0, spec.section_lines)
        self.loom = VirtualLoom.create(folder / "loom", lines, line_rate_hz=RATE_HZ, counts_per_line=COUNTS)
        (folder / "profile.toml").write_text(_PROFILE)
        self.station_file = folder / "station.toml"
        states = ", ".join(f'"{self.state(kind)}"' for kind in ADAPTERS)
        self.station_text = _STATION.format(
            engine=_ENGINE,
            folder=folder,
            disk=self.station_disk.folder,
            mm=MM,
            width=WIDTH,
            metrics=free_port(),
            states=states,
        )
        self.station_file.write_text(self.station_text)
        self.station = Unit(
            "station",
            "glass-edge@.service",
            ["run", "--config", str(self.station_file)],
            folder,
            self._faked(),
            restart_s,
        )
        self.adapters = {kind: self._adapter(kind, restart_s) for kind in ADAPTERS}

    def set_clock(self, ahead_s: int) -> None:
        """Move the station's wall clock so many seconds from the true time."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as stream:
            stream.write(struct.pack("<q", ahead_s))

    def _faked(self) -> dict[str, str]:
        """The wall clock alone can be moved; the monotonic ones are the kernel's."""
        source, library = Path(__file__).with_name("fault_clock.c"), self.folder / "fault_clock.so"
        subprocess.run(
            [*compiler(), "-O2", "-Wall", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True
        )
        return {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(self.clock)}

    def _adapter(self, kind: str, restart_s: float | None) -> Unit:
        own = {
            "files": f'[files]\nfolder = "{self.folder}/rolls"\n',
            "sql": f'[sql]\nurl = "sqlite:///{self.database}"\ntimeout_s = 2.0\n',
            "webhook": (
                f'[webhook]\nurl = "https://127.0.0.1:{self.proxy.ports[0]}/events"\n'
                f'secret_file = "{self.server.secret}"\nca_file = "{self.server.ca}"\n'
                "timeout_s = 2.0\nconnect_timeout_s = 2.0\n"
            ),
            "modbus": f'[modbus]\nbind = "127.0.0.1"\nport = {self.modbus_port}\nack_timeout_s = 2.0\n',
        }[kind]
        file = self.folder / f"{kind}.toml"
        file.write_text(_ADAPTER.format(kind=kind, folder=self.folder, state=self.state(kind)) + own)
        command = ["adapter", "run", "--config", str(file)]
        return Unit(kind, "glass-edge-adapter@.service", command, self.folder, None, restart_s)

    def state(self, kind: str) -> Path:
        """State folder of an adapter."""
        return self.state_disk.folder / kind

    def __enter__(self) -> Self:
        self.server.server.__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for unit in (self.station, *self.adapters.values()):
            unit.end()
        self.proxy.__exit__(kind, error, trace)
        self.server.server.__exit__(kind, error, trace)
        self.loom.close()
        if error is not None:
            for disk in (self.station_disk, self.state_disk):
                shutil.copytree(disk.folder, self.folder / f"{disk.folder.name}-kept", dirs_exist_ok=True)
        self.station_disk.unmount()
        self.state_disk.unmount()

    def start(self) -> None:
        """Start the processes, and wait until all of them work."""
        self.station.start()
        for unit in self.adapters.values():
            unit.start()
        eventually(lambda: self.place() is not None and self.place_line() > 100, self.station.tail)
        for kind in ADAPTERS:
            eventually(lambda kind=kind: self.offset(kind) != ("", 0), lambda kind=kind: self.adapters[kind].tail())

    # What is known of it

    def place(self) -> WebPlace | None:
        """How far the station says that it has told of the web."""
        with contextlib.suppress(Exception):
            return load_place(place_path(self.journal))
        return None

    def place_line(self) -> int:
        place = self.place()
        return 0 if place is None else place.line

    def told_count(self) -> int:
        """The encoder where the station has told everything of."""
        place = self.place()
        return -1 if place is None or place.encoder_count is None else place.encoder_count

    def _reading(self, timeout_s: float = 1.0) -> contextlib.closing[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=timeout_s)
        return contextlib.closing(connection)

    def documents(self) -> list[dict[str, Any]]:
        """The journal."""
        with self._reading(10.0) as connection:
            rows = connection.execute("SELECT document FROM events ORDER BY seq").fetchall()
        return [json.loads(row[0]) for row in rows]

    def head(self) -> tuple[str, int]:
        """Epoch and newest event of the journal."""
        with contextlib.suppress(sqlite3.Error), self._reading() as connection:
            (epoch,) = connection.execute("SELECT value FROM journal WHERE name = 'epoch'").fetchone()
            (seq,) = connection.execute("SELECT max(seq) FROM events").fetchone()
            return epoch, seq or 0
        return "", 0

    def last_gap_line(self) -> int:
        """End of the newest gap that is journaled."""
        with contextlib.suppress(sqlite3.Error), self._reading() as connection:
            row = connection.execute(
                "SELECT document FROM events WHERE kind = 'coverage.gap' ORDER BY seq DESC LIMIT 1"
            ).fetchone()
            return 0 if row is None else int(json.loads(row[0])["payload"]["end_line"])
        return 1 << 60

    def offset(self, kind: str) -> tuple[str, int]:
        """Epoch and number of the last event that an adapter has delivered."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads((self.state(kind) / "offset.json").read_text())
            return str(found["epoch"]), int(found["seq"])
        return "", 0

    def camera_pid(self) -> int | None:
        """The station's camera process."""
        station = self.station.pid
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = stat.read_text().partition(" (")
                if int(rest.rpartition(") ")[2].split()[1]) == station:
                    return int(pid)
        return None

    # Recovery

    def station_recovers(self, timeout_s: float = 180.0) -> float:
        """Seconds until a line is scored that was woven after now."""
        count = self.loom.encoder_count

        def is_scored() -> bool:
            return self.told_count() > count and self.place_line() > self.last_gap_line()

        return eventually(is_scored, lambda: f"a scored line\n{self.station.tail()}", timeout_s)

    def adapter_recovers(self, kind: str, timeout_s: float = 180.0) -> float:
        """Seconds until an adapter has delivered what waited, and something new."""
        epoch, seq = self.head()

        def is_new() -> bool:
            at_epoch, at = self.offset(kind)
            return at_epoch != "" and (
                (at_epoch == epoch and at > seq) or (at_epoch != epoch and self.head()[0] == at_epoch)
            )

        def what() -> str:
            return f"a new event at {kind} (at {self.offset(kind)}, head {self.head()})\n{self.adapters[kind].tail()}"

        return eventually(is_new, what, timeout_s)
