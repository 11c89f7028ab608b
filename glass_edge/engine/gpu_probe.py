"""Whether there is a GPU this process can use, asked of the driver itself.

Promises: nothing but the driver's library is loaded, so a machine without driver or GPU gets an error with the remedy
(TensorRT's runtime ends the process instead, when it loads a plan without a driver); no context is made.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from glass_edge.errors import InputError

DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # attributes of a device: its compute capability
_CPU = "or use runtime = 'openvino'"


class GpuUnavailableError(InputError):
    """No GPU that the engine could run on; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A GPU as its driver describes it.

    Attributes:
        index: among the GPUs this process sees.
        name: of the product.
        compute_capability: major and minor number.
        driver_cuda: newest CUDA version the driver serves, as 13000 for 13.0.
        driver_release: release of the kernel's driver, empty when it is not told.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    driver_cuda: int
    driver_release: str

    @property
    def sm(self) -> str:
        """The compute capability as TensorRT writes it, SM86."""
        return "SM{}{}".format(*self.compute_capability)


def probe_gpu(
    index: int = 0, *, lowest: tuple[int, int] = (7, 5), lowest_cuda: int = 13000, library: str = DRIVER
) -> GpuFacts:
    """Facts of a GPU.

    Args:
        index: of the GPU.
        lowest: lowest compute capability that will do.
        lowest_cuda: lowest CUDA version the driver must serve.
        library: of the driver.

    Raises:
        GpuUnavailableError: no driver, one that fails or is too old, no GPU, or one that will not do.
    """
    try:
        driver = ctypes.CDLL(library)
        _require(driver.cuInit(0), "cuInit", driver)
    except OSError as error:
        raise GpuUnavailableError(
            f"no NVIDIA driver: {library} cannot be loaded ({error}); install the driver for this GPU, {_CPU}"
        ) from error
    cuda = _integer(driver, "cuDriverGetVersion")
    if cuda < lowest_cuda:
        raise GpuUnavailableError(
            f"the NVIDIA driver serves CUDA {_dotted(cuda)}; {_dotted(lowest_cuda)} is needed: install a newer driver, "
            f"{_CPU}"
        )
    count = _integer(driver, "cuDeviceGetCount")
    if not 0 <= index < count:
        raise GpuUnavailableError(
            f"GPU {index} is asked for and the driver shows {count}; check CUDA_VISIBLE_DEVICES and the GPU's seat and "
            f"power, {_CPU}"
        )
    device = _integer(driver, "cuDeviceGet", ctypes.c_int(index))
    name = ctypes.create_string_buffer(256)
    _require(driver.cuDeviceGetName(name, ctypes.c_int(len(name)), ctypes.c_int(device)), "cuDeviceGetName", driver)
    capability = (
        _integer(driver, "cuDeviceGetAttribute", ctypes.c_int(_MAJOR), ctypes.c_int(device)),
        _integer(driver, "cuDeviceGetAttribute", ctypes.c_int(_MINOR), ctypes.c_int(device)),
    )
    facts = GpuFacts(index, name.value.decode(errors="replace"), capability, cuda, _driver_release())
    if capability < lowest:
        raise GpuUnavailableError(
            f"GPU {index} is a {facts.name} of compute capability {_joined(capability)}; {_joined(lowest)} or higher "
            f"is needed: use another GPU, {_CPU}"
        )
    return facts


def _integer(driver: ctypes.CDLL, function: str, *arguments: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _require(getattr(driver, function)(ctypes.byref(value), *arguments), function, driver)
    return value.value


def _require(status: int, function: str, driver: ctypes.CDLL) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    known = driver.cuGetErrorString(ctypes.c_int(status), ctypes.byref(text)) == 0 and text.value
    reason = text.value.decode(errors="replace") if known and text.value else f"error {status}"
    raise GpuUnavailableError(
        f"the NVIDIA driver fails in {function}: {reason}; see whether nvidia-smi works, reload or reinstall the "
        f"driver, {_CPU}"
    )


def _driver_release() -> str:
    """As in /proc; a driver of another release may compile plans otherwise."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            first = file.readline().split()
    except OSError:
        return ""
    numbers = [word for word in first if word.replace(".", "").isdigit() and "." in word]
    return numbers[0] if numbers else ""


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _joined(capability: tuple[int, int]) -> str:
    return "{}.{}".format(*capability)
