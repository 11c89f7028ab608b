"""The box: processor, memory, GPU and clock.

Promises: everything is read from the system itself; nothing is changed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.gpu_probe import probe_gpu
from glass_edge.engine.machine import describe_machine
from glass_edge.engine.openvino_model import has_int8_instructions, supported_precisions
from glass_edge.service.doctor.finding import Finding, bad, care, good

_LEAST_MEMORY_GIB = 2.0
_UNSYNCHRONIZED = 0x40  # STA_UNSYNC of adjtimex(2)
_TIME_ERROR = 5
_MOST_ERROR_US = 1_000_000


def processor(cpufreq: Path = Path("/sys/devices/system/cpu/cpu0/cpufreq")) -> Iterator[Finding]:
    """The processor, what it computes in, and whether it may run at full speed."""
    machine = describe_machine()
    precisions = [*(("int8",) if has_int8_instructions() else ()), *supported_precisions()]
    text = f"{machine.cpu}, {machine.cores} cores for this program, computes in {', '.join(precisions)}"
    if machine.cores < 2:
        yield care("processor", text, "give the station two cores: camera and engine share one now")
    else:
        yield good("processor", text)
    governor = cpufreq / "scaling_governor"
    if governor.exists() and (name := governor.read_text(encoding="ascii").strip()) == "powersave":
        yield care("processor", f"governor {name}", "cpupower frequency-set -g performance")
    if machine.memory_gib is not None and machine.memory_gib < _LEAST_MEMORY_GIB:
        yield care("memory", f"{machine.memory_gib:.1f} GiB", f"a station wants {_LEAST_MEMORY_GIB:.0f} GiB or more")
    elif machine.memory_gib is not None:
        yield good("memory", f"{machine.memory_gib:.1f} GiB")


def gpu(settings: EngineSettings) -> Iterator[Finding]:
    """The GPU, where the engine is to run on one. Raises `GpuUnavailableError` with the remedy."""
    if settings.runtime == "openvino":
        return
    facts = probe_gpu()
    yield good("gpu", f"{facts.name}, {facts.sm}, driver {facts.driver_release or 'unknown'}")
    module = "tensorrt_rtx" if "rtx" in settings.runtime else "tensorrt"
    if importlib.util.find_spec(module) is None:
        extra = module.replace("_", "-")
        yield bad(
            "gpu", f"{module} is not installed", f"pip install 'glass-edge[{extra}]', see docs/how-to/tensorrt.md"
        )


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def clock() -> Iterator[Finding]:
    """Whether the wall clock follows another one; events carry its time."""
    kernel = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    state = kernel.adjtimex(ctypes.byref(timex))
    if state == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "adjtimex")
    if state == _TIME_ERROR or timex.status & _UNSYNCHRONIZED or timex.maxerror > _MOST_ERROR_US:
        remedy = "timedatectl set-ntp true, or run chrony; without it stamps of several looms cannot be compared"
        yield care("clock", "is not synchronized", remedy)
    else:
        yield good("clock", f"synchronized, error at most {timex.maxerror / 1000:.0f} ms")
