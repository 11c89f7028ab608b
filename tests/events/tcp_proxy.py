"""A network with bad days: a TCP proxy in a process of its own.

`PROXY LISTEN:TARGET...` forwards ports of 127.0.0.1 and takes commands on stdin, a line each, answered by `ok`:
- `cut`: reset every connection;
- `delay SECONDS`: hold each piece back that long, both ways;
- `stall`: forward nothing, lose nothing; as a link that is down for a moment, whose bytes tcp sends again;
- `hole`: the connections there are, and those that come, stay open and swallow what is sent for good; as a firewall
  that forgot them. Nobody is told: who waits for an answer has to notice by himself;
- `flow`: the end of `delay`, `stall` and `hole`; what fell into the hole stays dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PIECE_BYTES = 1 << 14
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that no outgoing connection is given meanwhile, so that a killed server finds it free again."""
    lowest = int(_EPHEMERAL.read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10_000, lowest)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class TcpProxy:
    """A proxy process; a context manager.

    Args:
        targets: ports to forward to.
    """

    def __init__(self, *targets: int) -> None:
        self.ports = [free_port() for _ in targets]
        self._command = [sys.executable, __file__]
        self._command += [f"{port}:{target}" for port, target in zip(self.ports, targets, strict=True)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Begin to listen, on the same ports as before."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._require_ok()

    def kill(self) -> None:
        """SIGKILL: the system closes all connections."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def tell(self, command: str) -> None:
        """Give a command; it is in force when this returns."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self._require_ok()

    def _require_ok(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer == "ok\n", f"the proxy said {answer!r}"


class _Connection:
    """The two halves of a forwarded connection."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.is_dead = False

    def close(self, *, by_reset: bool = False) -> None:
        for writer in (self.near, self.far):
            if by_reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()


class _Weather:
    """What the commands have set."""

    def __init__(self) -> None:
        self._connections: set[_Connection] = set()
        self._is_flowing = asyncio.Event()
        self._is_flowing.set()
        self._is_hole = False
        self._delay_s = 0.0

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter, target: int) -> None:
        try:
            far, out = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            back.transport.abort()  # nobody is there
            return
        connection = _Connection(back, out)
        connection.is_dead = self._is_hole
        self._connections.add(connection)
        try:
            ways = [self._forward(near, out, connection), self._forward(far, back, connection)]
            await asyncio.gather(*ways)
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(_PIECE_BYTES):
                await asyncio.sleep(self._delay_s)
                await self._is_flowing.wait()
                if not connection.is_dead:
                    sink.write(piece)
                    await sink.drain()
        if not connection.is_dead:  # who talks into a hole does not hear that the other has hung up
            sink.close()

    def take(self, command: str) -> None:
        word, *values = command.split()
        match word:
            case "cut":
                for connection in self._connections:
                    connection.close(by_reset=True)
            case "delay":
                self._delay_s = float(values[0])
            case "stall":
                self._is_flowing.clear()
            case "hole":
                self._is_hole = True
                for connection in self._connections:
                    connection.is_dead = True
            case "flow":
                self._is_hole, self._delay_s = False, 0.0
                self._is_flowing.set()
            case _:
                raise ValueError(command)


async def _main(pairs: list[str]) -> None:
    weather = _Weather()

    async def listen(port: int, target: int) -> None:
        await asyncio.start_server(lambda near, back: weather.serve(near, back, target), "127.0.0.1", port)

    for pair in pairs:
        port, target = map(int, pair.split(":"))
        await listen(port, target)
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("ok", flush=True)  # noqa: T201 - the answer
    while line := await commands.readline():  # the end of stdin ends the proxy with its parent
        weather.take(line.decode())
        print("ok", flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
