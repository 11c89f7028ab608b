"""The machine a figure was measured on.

Promises: what is named is read from the machine; what cannot be read is called unknown.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from glass_edge.engine.openvino_model import usable_cores


@dataclass(frozen=True, slots=True)
class Machine:
    """Names beside every measured figure.

    Attributes:
        cpu: model name of the processor.
        cores: cores this process may use.
        memory_gib: installed memory, GiB; None when unknown.
        system: operating system and release.
        versions: of Python and of libraries, by name.
    """

    cpu: str
    cores: int
    memory_gib: float | None
    system: str
    versions: dict[str, str]


def describe_machine(libraries: Iterable[str] = ("glass-edge", "openvino", "numpy")) -> Machine:
    """Read this machine; `libraries` are the distributions whose versions matter (left out when not installed)."""
    versions = {"python": platform.python_version()}
    for library in libraries:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        cpu=_field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine() or "unknown",
        cores=usable_cores(),
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.release()}",
        versions=versions,
    )


def _memory_gib() -> float | None:
    size = _field("/proc/meminfo", "MemTotal")
    return round(int(size.split()[0]) / (1 << 20), 1) if size else None


def _field(file: str, name: str) -> str | None:
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
