"""The two libraries with TensorRT's Python interface.

Promises: importing this module imports neither; a library that is missing, or that cannot load its own parts, is an
error that names the extra; what differs between the two is asked here and nowhere else.
"""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any, Literal
from weakref import WeakKeyDictionary

import structlog

from glass_edge.engine.gpu_probe import GpuUnavailableError
from glass_edge.errors import InputError, MissingExtraError

TensorRtName = Literal["tensorrt", "tensorrt-rtx"]
_MODULES: dict[str, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_REASONS = 3
_HARMLESS = "Thread context has not been set"  # said as an error by TensorRT for RTX 1.7 at each build that succeeds
_loggers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_log = structlog.get_logger(__name__)


def load_api(runtime: TensorRtName) -> Any:  # noqa: ANN401 - the libraries have no type information
    """The module `tensorrt` or `tensorrt_rtx`.

    Raises:
        MissingExtraError: it is not installed. GpuUnavailableError: it is, and cannot be loaded.
    """
    try:
        return importlib.import_module(_MODULES[runtime])
    except ModuleNotFoundError as error:
        raise MissingExtraError(runtime, f"runtime '{runtime}'") from error
    except (ImportError, OSError) as error:
        raise GpuUnavailableError(
            f"{_MODULES[runtime]} is installed and cannot be loaded ({error}); "
            f"install it anew: pip install --force-reinstall 'glass-edge[{runtime}]'"
        ) from error


def builds_ahead(api: Any) -> bool:  # noqa: ANN401
    """True when the library compiles for GPUs that are not there (TensorRT for RTX)."""
    return hasattr(api.IBuilderConfig, "set_compute_capability")


def library_version(api: Any) -> str:  # noqa: ANN401
    """Name and version, as in the key of a plan."""
    return f"{'tensorrt-rtx' if builds_ahead(api) else 'tensorrt'} {api.__version__}"


def capabilities(api: Any, names: tuple[str, ...]) -> list[Any]:  # noqa: ANN401
    """Members of `ComputeCapability` by names as 'SM86' or '8.6'.

    Raises:
        InputError: the library compiles for no such GPU.
    """
    if names and not builds_ahead(api):
        raise InputError(
            f"{library_version(api)} compiles for the GPU of this machine only; leave the compute capabilities out"
        )
    found = []
    for name in names:
        sm = name if name.startswith("SM") else f"SM{name.replace('.', '')}"
        member = getattr(api.ComputeCapability, sm, None) if sm != "SM" else None
        if member is None:
            known = ", ".join(sorted(one for one in api.ComputeCapability.__members__ if one.startswith("SM")))
            raise InputError(f"compute capability '{name}': {library_version(api)} knows {known}")
        found.append(member)
    return found


def logger_of(api: Any) -> Any:  # noqa: ANN401
    """The logger of a library: its warnings and errors go to the program's log, and `reasons` tells the last errors.

    There is one a process: TensorRT keeps the first it is given.
    """
    if api not in _loggers:
        _loggers[api] = _make_logger(api)
    return _loggers[api]


def _make_logger(api: Any) -> Any:  # noqa: ANN401
    severities = api.ILogger.Severity
    errors = (severities.INTERNAL_ERROR, severities.ERROR)

    class Logger(api.ILogger):  # type: ignore[misc] # the base is not known before run time
        """Bridge to structlog."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self._errors: deque[str] = deque(maxlen=_REASONS)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            text = " ".join(message.split())
            if text.startswith(_HARMLESS):
                return
            if severity in errors:
                self._errors.append(text)
                _log.error("tensorrt.error", message=text)
            elif severity == severities.WARNING:
                _log.warning("tensorrt.warning", message=text)

        def reasons(self) -> str:
            """The last errors, which are forgotten then; what to say where there are none."""
            told = "; ".join(self._errors) or "no reason was given"
            self._errors.clear()
            return told

    return Logger()
