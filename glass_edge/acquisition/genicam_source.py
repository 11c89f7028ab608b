"""A camera through harvesters, in the process and thread that owns it.

Promises: every buffer goes back to the driver whatever happens to its contents; incomplete blocks, underruns and
unreadable chunk data are counted; whatever ends the stream (unplugged, stalled, an error of the driver) is a
CameraLostError with the reason; closing never raises. harvesters 1.4.3 is used as its measured behaviour allows: no
thread of its own, no `update` while a camera is open, chunk data read by hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.acquisition.genicam_features import Applied, Features, apply_profile, describe, feature_of, require
from glass_edge.acquisition.genicam_spec import CameraFacts, CameraInUseError, GenicamSpec
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.acquisition.line_runs import straight_runs
from glass_edge.acquisition.pixel_formats import PixelFormat, convert, pixel_format
from glass_edge.errors import GlassEdgeError, InputError, MissingExtraError

Take = Callable[[BlockTags, NDArray[np.uint8]], bool]
"""Receives a block's tags and pixels, which are valid during the call only; False: it was not taken."""
_CHUNK_ERRORS_TO_STOP = 20  # in a row; reading on would only cost time
_STALL_LOOK_S = 0.5
_STALL_S = 5.0
_LOOKING_SHARE = 0.05  # of the time may go into reading the encoder at every line of blocks that are not straight
_MOST_PARTS = 8
_GLANCE_S, _NAP_S = 5e-5, 1e-3  # where the interpreter lock is shared: look, then let others work


def load_harvesters() -> tuple[Any, Any, Any]:
    """harvesters.core, genicam.gentl and genicam.genapi.

    Raises:
        MissingExtraError: they are not installed.
    """
    try:
        from genicam import genapi, gentl  # noqa: PLC0415
        from harvesters import core  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("genicam", "a GenICam camera") from error
    for name in ("harvesters", "harvesters.core"):  # its errors come back as exceptions, and are told as faults
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return core, gentl, genapi


def open_producers(cti: tuple[str, ...]) -> Any:  # noqa: ANN401 - harvesters has no types
    """A Harvester that knows the devices of the producers; the caller resets it.

    Raises:
        InputError: a producer cannot be loaded.
        MissingExtraError: harvesters is not installed.
    """
    core, gentl, _ = load_harvesters()
    harvester = core.Harvester()
    try:
        for path in cti:
            try:
                harvester.add_file(path, check_existence=True, check_validity=True)
            except FileNotFoundError:
                raise InputError(f"{path}: no such file; cti names the vendor's GenTL producer (a .cti file)") from None
            except OSError as error:
                raise InputError(f"{path}: is no GenTL producer that can be loaded here ({error})") from error
            if not hasattr(ctypes.CDLL(path), "GCInitLib"):
                raise InputError(f"{path}: is a library but no GenTL producer; cti names the vendor's .cti file")
        harvester.update()
    except gentl.GenericException as error:
        _quietly(harvester.reset)
        raise CameraLostError(f"the GenTL producer failed: {error}") from error
    except BaseException:
        _quietly(harvester.reset)
        raise
    return harvester


def find_device(harvester: Any, spec: GenicamSpec) -> Any:  # noqa: ANN401
    """The one device that `spec` names.

    Raises:
        InputError: there is none or more than one; the message lists those that are there.
    """
    devices = harvester.device_info_list
    key, value = ("serial_number", spec.serial_number)
    if spec.serial_number is None and spec.user_id is not None:
        key, value = "user_defined_name", spec.user_id
    fitting = [one for one in devices if value is None or device_text(one, key) == value]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(_describe(one) for one in devices) or "none"
    if fitting:
        raise InputError(f"{len(fitting)} cameras fit; say which by serial_number or user_id. There are: {there}")
    raise InputError(f"no {spec.name} was found. Cameras there: {there}")


def device_text(device: Any, name: str) -> str:  # noqa: ANN401
    """A property of a device, empty where the producer does not say."""
    _, gentl, _ = load_harvesters()
    try:
        return str(getattr(device, name, "") or "")
    except gentl.GenericException:
        return ""


def _describe(device: Any) -> str:  # noqa: ANN401
    user = device_text(device, "user_defined_name")
    return f"{device_text(device, 'model')} serial {device_text(device, 'serial_number')}" + (
        f' user id "{user}"' if user else ""
    )


class HarvesterSource:
    """One open camera; a context manager that opens and starts it.

    Args:
        spec: which camera, set to what.
        stall_s: no block for this long while lines should come ends the stream; None: 5 s where the profile says what
            starts a line, and otherwise never (the loom may stand).
        busy_wait: never wait inside the driver, which holds Python's interpreter lock (for a process that does more).
    """

    def __init__(self, spec: GenicamSpec, *, stall_s: float | None = None, busy_wait: bool = False) -> None:
        self._spec = spec
        self._stall_s = _STALL_S if stall_s is None and spec.profile.line_trigger is not None else stall_s
        self._busy_wait = busy_wait
        self._harvester: Any = None
        self._acquirer: Any = None
        self._guard: socket.socket | None = None
        self._errors: tuple[type[Exception], ...] = ()
        self._features: Features | None = None
        self._form: PixelFormat | None = None
        self._chunk_nodes: dict[str, Any] = {}
        self._incomplete = self._overruns = self._chunk_errors = self._chunk_errors_in_a_row = 0
        self._has_underruns = True
        self._last_block_s = self._last_look_s = self._started_s = self._looked_s = 0.0
        self._stood_at: int | None = None
        self.applied = Applied()
        self.facts: CameraFacts | None = None

    def open(self) -> CameraFacts:
        """Open the camera and set it to its profile.

        Raises:
            InputError: no such camera, or it cannot do what the profile asks.
            CameraInUseError: another program holds it.
            CameraLostError: it does not answer.
        """
        core, gentl, genapi = load_harvesters()
        self._errors = (
            gentl.GenericException,
            genapi.GenericException,
            RuntimeError,
            OSError,
            ValueError,
            AttributeError,
        )
        self._harvester = open_producers(self._spec.cti)
        device = find_device(self._harvester, self._spec)
        vendor, model, serial = (device_text(device, name) for name in ("vendor", "model", "serial_number"))
        self._guard = _guard(f"{vendor}/{model}/{serial}/{device_text(device, 'id_')}", self._spec.name)
        wait_ms = 1 if self._busy_wait else max(1, round(self._spec.fetch_timeout_s * 500))
        config = core.ParameterSet(
            {
                core.ParameterKey.ENABLE_AUTO_CHUNK_DATA_UPDATE: False,
                core.ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: 0 if self._busy_wait else wait_ms,
            }
        )
        try:
            self._acquirer = self._harvester.create(device, config=config)
        except (gentl.AccessDeniedException, gentl.ResourceInUseException) as error:
            raise CameraInUseError(f"{self._spec.name}: is in use by another program ({_short(error)})") from error
        except self._errors as error:
            raise CameraLostError(f"{self._spec.name}: cannot be opened ({error})") from error
        try:
            self._set_up(vendor, model, serial, core)
        except GlassEdgeError:
            raise
        except self._errors as error:
            raise CameraLostError(f"{self._spec.name}: went away while it was set up ({error})") from error
        assert self.facts is not None
        return self.facts

    def _set_up(self, vendor: str, model: str, serial: str, core: Any) -> None:  # noqa: ANN401
        nodes = self._acquirer.remote_device.node_map
        self._features = features = Features(nodes)
        self.applied = apply_profile(features, self._spec.profile, vendor=vendor, model=model)
        require(self.applied, self._spec.name)
        self._acquirer.num_buffers = max(self._spec.profile.buffers, self._acquirer.min_num_buffers)
        counter = _Incomplete(core, self)
        self._acquirer.add_callback(self._acquirer.Events.INCOMPLETE_BUFFER, counter.callback)
        width, height, name = (features.value(one) for one in ("Width", "Height", "PixelFormat"))
        if width is None or height is None or name is None:
            raise InputError(f"{self._spec.name}: does not say its Width, Height and PixelFormat")
        self._form = pixel_format(str(name))
        self._form.line_bytes(int(width))
        self.facts = CameraFacts(
            vendor,
            model,
            serial,
            int(height),
            int(width),
            self._form.channels,
            self._form.name,
            tuple(self.applied.chunks),
            tuple(self.applied.lacks),
        )
        self._chunk_nodes = {chunk: nodes.get_node(name) for chunk, name in self.applied.chunks.items()}

    def describe_features(self) -> list[dict[str, str]]:
        """Every feature of the open camera; see `genicam_features.describe`."""
        return describe(self._acquirer.remote_device.node_map)

    def start(self) -> None:
        """Start the stream.

        Raises:
            CameraLostError: it cannot be started.
        """
        try:
            self._acquirer.start()
        except self._errors as error:
            raise CameraLostError(f"{self._spec.name}: its stream cannot be started ({error})") from error
        self._last_block_s = self._last_look_s = self._started_s = time.monotonic()

    def poll(self, timeout_s: float, take: Take) -> bool:
        """Wait for a block and give it to `take`; False when none came within about `timeout_s`.

        Raises:
            CameraLostError: the stream ended; see the module.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                buffer = self._acquirer.try_fetch(timeout=_GLANCE_S if self._busy_wait else timeout_s, is_raw=True)
            except self._errors as error:
                raise CameraLostError(f"{self._spec.name}: was lost ({_short(error)})") from error
            if buffer is not None:
                break
            if time.monotonic() >= deadline_s or not self._busy_wait:
                self._look_for_stall()
                return False
            time.sleep(_NAP_S)
        received_s = time.monotonic()
        try:
            self._hand_over(buffer, received_s, take)
        finally:
            try:
                buffer.parent.queue_buffer(buffer)
            except self._errors as error:
                raise CameraLostError(f"{self._spec.name}: was lost ({_short(error)})") from error
        return True

    def _hand_over(self, buffer: Any, received_s: float, take: Take) -> None:  # noqa: ANN401
        assert self.facts is not None
        assert self._form is not None
        self._last_block_s = received_s
        try:
            width, n_lines = int(buffer.width), int(buffer.height)
            delivered = _number(buffer, "delivered_image_height")
            if delivered:
                n_lines = min(n_lines or delivered, delivered)
            offset = _number(buffer, "image_offset") or 0
            padding = _number(buffer, "padding_x") or 0
            code = int(buffer.pixel_format)
            form = self._form if code == 0 else pixel_format(code)
            if n_lines == 0 or width != self.facts.width_px or form.channels != self.facts.channels:
                raise InputError(f"a block of {width} x {n_lines} px {form.name} came")
            raw = np.frombuffer(buffer.raw_buffer, np.uint8)[offset:]
            lines = convert(raw, form, n_lines, width, pitch_bytes=form.line_bytes(width) + padding)
        except InputError:  # another shape than was agreed
            self._incomplete += 1
            return
        except self._errors:  # no image in it
            self._incomplete += 1
            return
        tags = self._tags(buffer, n_lines, received_s)
        # A block in which lines are missing, or in which the web turned, goes on as the stretches that are whole.
        for begin, end in self._stretches(tags):
            part = tags if end - begin == n_lines else self._part(tags, begin, end)
            if not take(part, lines[begin:end]):
                self._overruns += 1

    def _stretches(self, tags: BlockTags) -> list[tuple[int, int]]:
        whole = [(0, tags.n_lines)]
        if tags.encoder_count is None or tags.encoder_count_last is None or tags.n_lines < 2:
            return whole
        try:
            began = time.monotonic()
            thorough = self._looked_s <= _LOOKING_SHARE * (began - self._started_s)
            counts_per_line = self._spec.profile.counts_per_line
            runs = straight_runs(self._encoder_at, tags.n_lines, counts_per_line, most=_MOST_PARTS, thorough=thorough)
            if runs != whole:
                self._looked_s += time.monotonic() - began
            return runs or whole
        except Exception:  # noqa: BLE001 - as in _read_chunks
            self._chunk_errors += 1
            return whole

    def _part(self, tags: BlockTags, begin: int, end: int) -> BlockTags:
        first, last = self._encoder_at(begin), self._encoder_at(end - 1)
        return replace(tags, n_lines=end - begin, encoder_count=first, encoder_count_last=last)

    def _encoder_at(self, line: int) -> int:
        """The encoder at a line of the block whose chunks were read last (SFNC ChunkScanLineSelector)."""
        assert self._features is not None
        selector = self._features.node("ChunkScanLineSelector")
        assert selector is not None
        selector.value = line
        return int(self._chunk_nodes["encoder"].value)

    def _tags(self, buffer: Any, n_lines: int, received_s: float) -> BlockTags:  # noqa: ANN401
        chunks = self._read_chunks(buffer, n_lines)
        frame = _number(buffer, "frame_id")
        return BlockTags(
            n_lines=n_lines,
            frame_id=chunks.get("frame_id") if frame is None else frame,
            line_number=chunks.get("line"),
            encoder_count=chunks.get("encoder"),
            encoder_count_last=chunks.get("encoder_last"),
            timestamp_ns=chunks.get("timestamp", _number(buffer, "timestamp_ns")),
            incomplete_blocks=self._incomplete,
            underruns=self._underruns(),
            ring_overruns=self._overruns,
            chunk_errors=self._chunk_errors,
            received_monotonic_s=received_s,
        )

    def _read_chunks(self, buffer: Any, n_lines: int) -> dict[str, int]:  # noqa: ANN401
        """Values of the block's chunks; empty where they cannot be read (whatever a parser throws)."""
        if not self._chunk_nodes or self._chunk_errors_in_a_row >= _CHUNK_ERRORS_TO_STOP:
            return {}
        try:
            self._acquirer._update_chunk_data(buffer=buffer, is_manual=True)  # public only per payload
            values = {chunk: int(node.value) for chunk, node in self._chunk_nodes.items()}
            self._read_last_encoder(values, n_lines)
        except Exception:  # noqa: BLE001 - chunk parsers of vendors raise anything; lines matter more
            self._chunk_errors += 1
            self._chunk_errors_in_a_row += 1
            return {}
        self._chunk_errors_in_a_row = 0
        return values

    def _read_last_encoder(self, values: dict[str, int], n_lines: int) -> None:
        """The encoder at the block's last line, where the camera keeps a value a line (SFNC ChunkScanLineSelector)."""
        assert self._features is not None
        if "encoder" in values and self._features.node("ChunkScanLineSelector") is not None:
            values["encoder"], values["encoder_last"] = self._encoder_at(0), self._encoder_at(n_lines - 1)

    def _underruns(self) -> int:
        if not self._has_underruns:
            return 0
        try:
            return int(self._acquirer.data_streams[0].num_underrun)
        except self._errors:
            self._has_underruns = False
            return 0

    def _look_for_stall(self) -> None:
        """Tell a standing loom from a stream that died.

        Raises:
            CameraLostError: the camera does not answer, or lines should have come.
        """
        now = time.monotonic()
        if now - self._last_look_s < _STALL_LOOK_S:
            return
        self._last_look_s = now
        assert self._features is not None
        profile = self._spec.profile
        name = feature_of(self._features, profile, "encoder_value") if profile.line_trigger == "encoder" else None
        try:
            stands_at = None if name is None else int(self._features.value(name) or 0)
        except self._errors as error:
            raise CameraLostError(f"{self._spec.name}: was lost ({_short(error)})") from error
        if self._stall_s is None or now - self._last_block_s < self._stall_s:
            self._stood_at = stands_at if now - self._last_block_s < 2 * _STALL_LOOK_S else self._stood_at
            return
        silence = f"no lines for {now - self._last_block_s:.1f} s"
        if stands_at is not None:
            assert self.facts is not None
            block_counts = abs(profile.counts_per_line) * self.facts.n_lines
            if self._stood_at is None or abs(stands_at - self._stood_at) <= 2 * block_counts:
                return  # the loom stands
            raise CameraLostError(f"{self._spec.name}: the stream stalled ({silence} while the encoder went on)")
        if profile.line_trigger != "encoder":
            raise CameraLostError(f"{self._spec.name}: the stream stalled ({silence})")

    def close(self) -> None:
        """Stop and let go of everything; each step for itself, because each may fail after a loss."""
        if self._acquirer is not None:
            _quietly(self._acquirer.stop)
            _quietly(self._acquirer.destroy)
            if self._acquirer.is_valid():  # a buffer it could not take back; without them it lets go of the device
                self._acquirer._announced_buffers.clear()
                _quietly(self._acquirer.destroy)
        self._chunk_nodes, self._features, self._acquirer = {}, None, None
        if self._harvester is not None:
            _quietly(self._harvester.reset)
        self._harvester = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def __enter__(self) -> Self:
        try:
            self.open()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Incomplete:
    """Counts harvesters' notices of incomplete buffers, which it gives back to the driver itself."""

    def __init__(self, core: Any, source: HarvesterSource) -> None:  # noqa: ANN401
        class Notice(core.Callback):  # type: ignore[misc]
            def emit(self, context: object = None) -> None:
                del context
                source._incomplete += 1

        self.callback = Notice()


def _guard(device: str, name: str) -> socket.socket:
    """Hold the camera against a second service on this machine; ends with the process, leaves no file.

    Raises:
        CameraInUseError: another process holds it.
    """
    digest = hashlib.sha256(device.encode()).hexdigest()[:32]
    guard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        guard.bind(f"\0glass-edge-camera-{digest}")
    except OSError as error:
        guard.close()
        raise CameraInUseError(f"{name}: is in use by another glass-edge on this machine") from error
    return guard


def _number(buffer: Any, name: str) -> int | None:  # noqa: ANN401
    """A number of a buffer, None where the producer does not give it."""
    _, gentl, _ = load_harvesters()
    try:
        return int(getattr(buffer, name))
    except (gentl.GenericException, AttributeError):
        return None


def _short(error: BaseException) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _quietly(step: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        step()
