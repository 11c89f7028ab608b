"""Compiles the virtual loom.

Promises: the producer is compiled at most once for each state of its sources and each compiler (the cache's file name
carries a hash of both); the file appears whole or not at all, also when several processes build at once.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from glass_edge.acquisition.virtual_loom.description import registers_header, xml_header
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import make_folder

PRODUCER_NAME = "virtual_loom.cti"
"""File name of the producer."""
SOURCE_FOLDER = Path(__file__).parent / "c"
_FLAGS = (
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-pthread",
    "-Wall",
    "-Wextra",
)
# Consumers reload a producer while threads of theirs may still be inside; nodelete keeps its code mapped.
_LINK = ("-Wl,-z,nodelete", "-ldl", "-lm")


def default_cache_folder() -> Path:
    """Where compiled producers are kept: glass_edge/virtual-loom in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glass_edge" / "virtual-loom"


def compiler() -> list[str]:
    """The C compiler's command, from $CC or `cc`.

    Raises:
        InputError: there is none.
    """
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise InputError(
            f"no C compiler '{command[0]}': the virtual loom is compiled on first use; "
            "install one (Debian: apt install gcc libc6-dev) or set CC"
        )
    return command


def write_headers(folder: Path) -> None:
    """Write the two headers that are made from the table of features, which the C sources include."""
    (folder / "registers.h").write_text(registers_header())
    (folder / "descriptions.h").write_text(xml_header())


def build_virtual_loom(folder: Path | None = None, extra_flags: tuple[str, ...] = ()) -> Path:
    """Compile the producer into `folder` unless it is there already.

    Args:
        folder: where it goes; None: `default_cache_folder()`.
        extra_flags: further flags for the compiler, such as "-Werror".

    Returns:
        The `.cti` file.

    Raises:
        InputError: no compiler, or the folder cannot be made.
        GlassEdgeError: the compiler refused the sources.
    """
    command = compiler()
    sources = sorted(SOURCE_FOLDER.glob("*.[ch]"))
    digest = hashlib.sha256(repr((command, _FLAGS, _LINK, extra_flags)).encode())
    digest.update((registers_header() + xml_header()).encode())
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    target = make_folder(folder or default_cache_folder()) / digest.hexdigest()[:16] / PRODUCER_NAME
    if target.exists():
        return target
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".~") as name:
        work = Path(name)
        write_headers(work)
        units = [str(path) for path in sources if path.suffix == ".c"]
        arguments = [*command, *_FLAGS, *extra_flags, f"-I{work}", f"-I{SOURCE_FOLDER}", *units]
        done = subprocess.run(
            [*arguments, "-o", str(work / PRODUCER_NAME), *_LINK], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise GlassEdgeError(f"{command[0]} could not compile the virtual loom:\n{done.stderr.strip()[-2000:]}")
        (work / PRODUCER_NAME).replace(target)
    return target
