"""Uses the virtual loom as no consumer should; run in a process of its own, which must survive.

Usage: virtual_loom_misuse.py FOLDER (a folder made by VirtualLoom.create). Prints "survived".
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
import threading
from pathlib import Path

from genicam import genapi, gentl
from harvesters.core import Harvester

logging.getLogger("harvesters").setLevel(logging.CRITICAL)
HANDLES = [0, 1, 0xDEADBEEF, (1 << 64) - 1, (5 << 32) | (3 << 24), (7 << 32) | (7 << 24) | 511, (1 << 32) | (6 << 24)]
ERRORS = (gentl.GenericException, genapi.GenericException, AttributeError, ValueError, RuntimeError, TypeError)


def through_harvesters(cti: Path) -> None:
    h = Harvester()
    h.add_file(str(cti))
    h.update()
    for _ in range(3):
        ia = h.create(0)
        ia.remote_device.node_map.Height.value = 8
        ia.remote_device.node_map.AcquisitionLineRate.value = 10000
        ia.start()
        late = ia.fetch(timeout=5)
        h.update()  # reloads the producer under the open camera
        for call in (late.queue, ia.stop, late.queue, ia.stop, ia.destroy, ia.destroy, late.queue):
            with contextlib.suppress(*ERRORS):
                call()
        h.update()
    ia = h.create(0)
    ia.start()
    late = ia.fetch(timeout=5)
    ia.stop()
    for call in (late.queue, ia.destroy, late.queue):
        with contextlib.suppress(*ERRORS):
            call()
    h.reset()
    h.reset()


def through_c(cti: Path) -> None:
    library = ctypes.CDLL(str(cti))
    names = [line.split("(")[0].split()[-1] for line in sources() if line.startswith("GC_API ")]
    room = ctypes.create_string_buffer(4096)
    size = ctypes.c_size_t(4096)
    place = ctypes.byref(ctypes.create_string_buffer(64))
    fillers = ([None] * 7, [None, place, ctypes.byref(size), None, None, None, None])
    for is_open in (False, True):
        if is_open:
            library.GCInitLib()
        for name in names:
            if name in ("GCInitLib", "GCCloseLib", "GCGetInfo", "GCGetLastError", "TLOpen"):  # take no handle
                continue
            for handle in HANDLES:
                for filler in fillers:
                    size.value = 4096
                    getattr(library, name)(ctypes.c_void_p(handle), *filler)
    for command in range(-2, 40):
        size.value = 4096
        library.GCGetInfo(command, None, room, ctypes.byref(size))
    library.GCCloseLib()
    library.GCCloseLib()


def close_while_streaming(cti: Path) -> None:
    """GCCloseLib while a thread waits for buffers and another streams."""
    library = ctypes.CDLL(str(cti))
    handle = ctypes.c_void_p
    out = [handle() for _ in range(6)]
    library.GCInitLib()
    library.TLOpen(ctypes.byref(out[0]))
    library.TLOpenInterface(out[0], b"VirtualLoom", ctypes.byref(out[1]))
    library.IFOpenDevice(out[1], b"LOOM-1", 4, ctypes.byref(out[2]))
    library.DevOpenDataStream(out[2], b"Stream0", ctypes.byref(out[3]))
    buffer = handle()
    library.DSAllocAndAnnounceBuffer(out[3], ctypes.c_size_t(10), None, ctypes.byref(buffer))  # far too small
    assert library.DSQueueBuffer(out[3], buffer) == 0
    assert library.GCRegisterEvent(out[3], 1, ctypes.byref(out[4])) == 0
    assert library.DSStartAcquisition(out[3], 0, ctypes.c_uint64(-1)) == 0
    codes = []

    def wait() -> None:
        data = ctypes.create_string_buffer(16)
        size = ctypes.c_size_t(16)
        codes.append(library.EventGetData(out[4], data, ctypes.byref(size), ctypes.c_uint64(2**64 - 1)))

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert library.GCCloseLib() == 0
    waiter.join(10)
    assert codes, "the wait did not end"
    assert codes[0] != 0
    assert library.DSQueueBuffer(out[3], buffer) != 0
    assert library.DSClose(out[3]) != 0
    assert library.DevClose(out[2]) != 0


def sources() -> list[str]:
    from glass_edge.acquisition.virtual_loom.build import SOURCE_FOLDER

    return [line for path in SOURCE_FOLDER.glob("*.c") for line in path.read_text().splitlines()]


if __name__ == "__main__":
    producer = Path(sys.argv[1]) / "virtual_loom.cti"
    through_c(producer)
    close_while_streaming(producer)
    through_harvesters(producer)
    sys.stdout.write("survived\n")
