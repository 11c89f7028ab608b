"""A Modbus TCP server over the registers; the only module that knows the library.

Promises: requests of a connection are answered in their order, each from one moment; a frame that is none ends its
connection and no other; connections and what they may hold are bounded, and one that asks too much waits alone; what is
refused is logged at most once a minute.

pymodbus codes requests and answers. Its server (3.16) is not used: of two requests that come in one segment it answers
the first only, after a frame with another protocol it hears nothing more, an unknown function is answered as function
0, and any number of silent connections stays open.

The frame is that of "MODBUS Messaging on TCP/IP Implementation Guide" V1.0b, the codes are those of "MODBUS Application
Protocol Specification" V1.1b3 (modbus.org).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import struct
import time
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.device import ModbusControlBlock

from glass_edge.adapters.modbus_bank import IllegalAddressError, IllegalValueError, RegisterBank
from glass_edge.adapters.modbus_doors import Doors, Pace
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.config.adapter_modbus import ModbusSettings

_HEADER = struct.Struct(">HHHB")  # transaction, protocol, bytes that follow, unit
_MOST_BYTES = 254
_REST_S = 5.0
_BUFFER_BYTES = 2048
_BACKLOG = 128
_ANY_UNIT = frozenset({0, 255})

_READ_HOLDING, _READ_INPUT, _WRITE_ONE, _WRITE_MANY, _MASK, _READ_WRITE, _IDENTITY = 3, 4, 6, 16, 22, 23, 43
_SERVED = frozenset({_READ_HOLDING, _READ_INPUT, _WRITE_ONE, _WRITE_MANY, _MASK, _READ_WRITE, _IDENTITY})


class _Store:
    """The bank as the library asks for it, for one writer. Its calls never wait, so a request is of one moment."""

    def __init__(self, bank: RegisterBank, writer: str) -> None:
        self._bank = bank
        self._writer = writer

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        del device_id
        read = self._bank.read_input if func_code == _READ_INPUT else self._bank.read_holding
        try:
            return list(read(address, count))
        except IllegalAddressError:
            return ExcCodes.ILLEGAL_ADDRESS

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> ExcCodes | None:
        del device_id, func_code
        try:
            self._bank.write(address, values, self._writer)
        except IllegalAddressError:
            return ExcCodes.ILLEGAL_ADDRESS
        except IllegalValueError:
            return ExcCodes.ILLEGAL_VALUE
        return None


class ModbusServer:
    """The server; used by the thread of its loop only.

    Args:
        settings: where it listens, to whom, how much.
        bank: the registers.
        log: where refusals go.
        identity: vendor, product and version that it names itself.
    """

    def __init__(
        self, settings: ModbusSettings, bank: RegisterBank, log: RepeatedLog, identity: tuple[str, str, str]
    ) -> None:
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it would tell of each bad frame
        self._settings = settings
        self._bank = bank
        self._log = log
        self._doors = Doors(settings.allowed_clients, settings.most_connections)
        self._units = _ANY_UNIT | {settings.unit_id}
        self._decoder = DecodePDU(True)
        vendor, product, version = identity
        control: Any = ModbusControlBlock  # one for the whole process
        control().Identity.update({0: vendor, 1: product, 2: version})
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[object], asyncio.WriteTransport] = {}

    async def listen(self) -> None:
        """Begin to serve.

        Raises:
            OSError: the address or the port cannot be had.
        """
        self._server = await asyncio.start_server(
            self._connected, self._settings.bind, self._settings.port, limit=_BUFFER_BYTES, backlog=_BACKLOG
        )

    async def close(self) -> None:
        """Listen no longer, and end all connections."""
        if self._server is not None:
            self._server.close()
        for transport in self._connections.values():
            transport.abort()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_REST_S)

    @property
    def is_listening(self) -> bool:
        """It serves."""
        return self._server is not None and self._server.is_serving()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])  # none: it left already
        task, transport = asyncio.current_task(), writer.transport
        assert task is not None
        self._connections[task] = transport
        try:
            if not self._doors.may_connect(peer):
                self._log.tell("stranger", f"{peer} is not in allowed_clients and was turned away")
                return
            is_in, gone = self._doors.admit(transport, time.monotonic())
            if isinstance(gone, asyncio.WriteTransport):
                gone.abort()
            if not is_in:
                self._log.tell("full", f"{peer} was turned away: most_connections are in use")
                return
            await self._serve(reader, writer, peer)
        except (OSError, EOFError, TimeoutError):
            pass  # it left, or fell silent
        finally:
            self._doors.left(transport)
            transport.abort()
            del self._connections[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        pace, store = Pace(self._settings.requests_per_s), _Store(self._bank, peer)
        while True:
            async with asyncio.timeout(self._settings.idle_s):
                header = await reader.readexactly(_HEADER.size)
            transaction, protocol, size, unit = _HEADER.unpack(header)
            if protocol != 0 or not 2 <= size <= _MOST_BYTES:
                self._log.tell(f"frame {peer}", f"{peer} sent what is no Modbus frame; its connection was closed")
                return
            async with asyncio.timeout(_REST_S):
                body = await reader.readexactly(size - 1)
            self._doors.asked(writer.transport, time.monotonic())
            answer = await self._answer(unit, body, store)
            if answer[0] >= 0x80:
                self._log.tell(f"refusal {peer}", f"{peer} was answered with {_refusal(body, answer)}")
            writer.write(_HEADER.pack(transaction, 0, len(answer) + 1, unit) + answer)
            async with asyncio.timeout(_REST_S):
                await writer.drain()
            await asyncio.sleep(pace.pause_s(time.monotonic()))

    async def _answer(self, unit: int, body: bytes, store: _Store) -> bytes:
        function = body[0]
        if unit not in self._units:
            return _exception(function, ExcCodes.GATEWAY_NO_RESPONSE)
        if function not in _SERVED:
            return _exception(function, ExcCodes.ILLEGAL_FUNCTION)
        request: Any = self._decoder.decode(body)
        if request is None:
            return _exception(function, ExcCodes.ILLEGAL_VALUE)
        if function == _READ_WRITE:  # the library writes before it knows whether it may read
            readable = await store.async_getValues(unit, function, request.read_address, request.read_count)
            if isinstance(readable, ExcCodes):
                return _exception(function, readable)
        response = await request.datastore_update(store, unit)
        return bytes([response.function_code]) + bytes(response.encode())


def _exception(function: int, code: ExcCodes) -> bytes:
    response = ExceptionResponse(function & 0x7F, code)
    return bytes([response.function_code]) + response.encode()


def _refusal(body: bytes, answer: bytes) -> str:
    where = f" at address {int.from_bytes(body[1:3], 'big')}" if len(body) >= 3 and body[0] != _IDENTITY else ""
    name = ExcCodes(answer[1]).name.lower().replace("_", " ")
    return f"exception {answer[1]:02d} ({name}) to function {body[0]}{where}"


def listen_problem(settings: ModbusSettings, error: OSError) -> str:
    """Why the server cannot listen, and what to do."""
    return (
        f"cannot serve Modbus on {settings.bind} port {settings.port} ({error.strerror or error});"
        f" {_REMEDIES.get(error.errno or 0, 'correct modbus.bind or modbus.port')}"
    )


_REMEDIES = {
    errno.EADDRINUSE: "another program has this port: end it, or give another modbus.port",
    errno.EADDRNOTAVAIL: "this machine has no such address: bring its network up, or correct modbus.bind",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: start the adapter with it, or give a higher modbus.port",
}
