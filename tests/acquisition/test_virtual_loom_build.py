"""The producer's sources: clean under strict warnings, sanitizers and valgrind; the build tells what is missing."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from glass_edge.acquisition.virtual_loom import VirtualLoom, build_virtual_loom
from glass_edge.acquisition.virtual_loom.build import SOURCE_FOLDER, write_headers
from glass_edge.acquisition.virtual_loom.features import CATEGORIES, addresses
from glass_edge.errors import GlassEdgeError, InputError

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
CLIENT = Path(__file__).with_name("virtual_loom_client.c")


@needs_compiler
def test_the_sources_compile_without_a_warning_and_once(tmp_path: Path) -> None:
    strict = ("-Werror", "-Wshadow", "-Wstrict-prototypes", "-Wpointer-arith", "-Wwrite-strings")
    first = build_virtual_loom(tmp_path, strict)
    assert first.name == "virtual_loom.cti"
    made_ns = first.stat().st_mtime_ns
    assert build_virtual_loom(tmp_path, strict) == first
    assert first.stat().st_mtime_ns == made_ns
    assert list(first.parent.iterdir()) == [first]


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(InputError, match=r"no C compiler 'no-such-compiler'.*apt install gcc"):
        build_virtual_loom(tmp_path)


@needs_compiler
def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(GlassEdgeError, match="could not compile"):
        build_virtual_loom(tmp_path, ("-fno-such-flag",))
    assert not list(tmp_path.rglob("*.cti"))


def test_registers_do_not_overlap() -> None:
    lengths = {f.name: f.length for features in CATEGORIES.values() for f in features}
    places = sorted((address, name) for name, address in addresses().items())
    for (address, name), (following, _) in itertools.pairwise(places):
        assert address % 8 == 0
        assert address + lengths[name] <= following


def run_client(tmp_path: Path, flags: list[str], prefix: list[str]) -> subprocess.CompletedProcess[str]:
    cloth = np.random.default_rng(0).integers(0, 256, (100, 64), dtype=np.uint8)
    loom = VirtualLoom.create(tmp_path / "loom", cloth, line_rate_hz=2000)
    write_headers(tmp_path)
    sources = [str(path) for path in (*SOURCE_FOLDER.glob("*.c"), CLIENT)]
    program = str(tmp_path / "client")
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", *flags]
    command += [f"-I{tmp_path}", f"-I{SOURCE_FOLDER}", *sources, "-o", program, "-ldl", "-lm"]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode != 0:
        pytest.skip(f"cc cannot build with {flags}: {compiled.stderr.strip()[-200:]}")
    environment = os.environ | {"GLASS_EDGE_LOOM": str(loom.folder)}
    return subprocess.run([*prefix, program], capture_output=True, text=True, env=environment, check=False, timeout=250)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_producer_is_clean_under_sanitizers(tmp_path: Path, sanitizer: str) -> None:
    done = run_client(tmp_path, [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"], [])
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "done"
    assert not done.stderr


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_the_producer_is_clean_under_valgrind(tmp_path: Path) -> None:
    done = run_client(tmp_path, [], ["valgrind", "--error-exitcode=9", "--leak-check=full", "--track-fds=yes", "-q"])
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "done"
