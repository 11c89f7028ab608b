"""The probe, against a driver library made for the test: the calls are real, the answers are not."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
from pathlib import Path

import pytest

from glass_edge.engine.gpu_probe import GpuUnavailableError, probe_gpu
from glass_edge.errors import InputError

COMPILER = shutil.which("cc") or shutil.which("gcc")
SOURCE = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = 40 + index; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
  if (device != 41 || size < 16) return 1;
  strcpy(name, "Loom RTX 4000");
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (device != 41) return 1;
  *value = attribute == 75 ? MAJOR : attribute == 76 ? 6 : -1;
  return 0;
}
int cuGetErrorString(int status, const char **text) {
  *text = "no such thing";
  return status == 100 ? 0 : 1;
}
"""


def driver(folder: Path, init: int = 0, version: int = 13010, major: int = 8) -> str:
    if COMPILER is None:
        pytest.skip("no C compiler")
    source, library = folder / "driver.c", folder / f"driver_{init}_{version}_{major}.so"
    source.write_text(SOURCE)
    values = [f"-DINIT={init}", f"-DVERSION={version}", f"-DMAJOR={major}"]
    subprocess.run([COMPILER, "-shared", "-fPIC", *values, "-o", str(library), str(source)], check=True)
    return str(library)


def test_a_gpu_is_described(tmp_path: Path) -> None:
    facts = probe_gpu(1, library=driver(tmp_path))
    assert (facts.index, facts.name, facts.compute_capability, facts.driver_cuda, facts.sm) == (
        1,
        "Loom RTX 4000",
        (8, 6),
        13010,
        "SM86",
    )


def test_every_refusal_names_the_remedy(tmp_path: Path) -> None:
    cases = [
        ({"init": 100}, {}, r"fails in cuInit: no such thing; see whether nvidia-smi works"),
        ({"init": 999}, {}, r"fails in cuInit: error 999;"),
        ({"version": 12080}, {}, r"serves CUDA 12\.8; 13\.0 is needed: install a newer driver"),
        ({"major": 6}, {}, r"GPU 1 is a Loom RTX 4000 of compute capability 6\.6; 7\.5 or higher is needed"),
        ({}, {"index": 2}, r"GPU 2 is asked for and the driver shows 2; check CUDA_VISIBLE_DEVICES"),
        ({}, {"index": -1}, r"GPU -1 is asked for"),
    ]
    for values, arguments, message in cases:
        with pytest.raises(GpuUnavailableError, match=message) as caught:
            probe_gpu(**{"index": 1} | arguments, library=driver(tmp_path, **values))
        assert str(caught.value).endswith("or use runtime = 'openvino'")
        assert caught.value.exit_code == 2
        assert isinstance(caught.value, InputError)


def test_without_a_driver() -> None:
    with pytest.raises(GpuUnavailableError, match=r"no NVIDIA driver: libnosuch\.so .*install the driver"):
        probe_gpu(library="libnosuch.so")
    if ctypes.util.find_library("cuda") is None:
        with pytest.raises(GpuUnavailableError, match="no NVIDIA driver"):
            probe_gpu()
