"""A camera through harvesters, in the process and thread that owns it.

Promises: every buffer goes back to the driver whatever happens to its contents; incomplete blocks, underruns and
unreadable chunk data are counted; whatever ends the stream (unplugged, stalled, an error of the driver) is a
CameraLostError with the reason; closing never raises. harvesters 1.4.3 is used as its measured behaviour allows: no
thread of its own, no `update` while a camera is open, chunk data read by hand.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.acquisition.genicam_chunks import ChunkReader
from glass_edge.acquisition.genicam_devices import (
    device_text,
    find_device,
    hold,
    load_harvesters,
    number_of,
    open_producers,
    quietly,
    short,
)
from glass_edge.acquisition.genicam_features import Applied, Features, apply_profile, describe, feature_of, require
from glass_edge.acquisition.genicam_spec import SIMULATED_VENDORS, CameraFacts, CameraInUseError, GenicamSpec
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.acquisition.pixel_formats import PixelFormat, convert, pixel_format
from glass_edge.errors import GlassEdgeError, InputError

Take = Callable[[BlockTags, NDArray[np.uint8]], bool]
"""Receives a block's tags and pixels, which are valid during the call only; False: it was not taken."""
_STALL_LOOK_S = 0.5
_STALL_S = 5.0
_SAME_ENCODER_BLOCKS = 64  # the chunk's count and the register's are one encoder's when they lie no further apart
_GLANCE_S, _NAP_S = 5e-5, 1e-3  # where the interpreter lock is shared: look, then let others work


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
        self._chunks: ChunkReader | None = None
        self._incomplete = self._overruns = 0
        self._has_underruns = True
        self._last_block_s = self._last_look_s = 0.0
        self._last_encoder: int | None = None  # at the last line that came
        self._passed: float | None = None  # how far the web was when the silence began
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
        identity = [vendor, model, serial, device_text(device, "id_")]
        if vendor in SIMULATED_VENDORS:  # two of one name in different places are two cameras
            identity += self._spec.cti
        self._guard = hold("/".join(identity), self._spec.name)
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
            raise CameraInUseError(f"{self._spec.name}: is in use by another program ({short(error)})") from error
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
        chunks: dict[str, Any] = {chunk: nodes.get_node(name) for chunk, name in self.applied.chunks.items()}
        self._chunks = ChunkReader(self._acquirer, features, chunks, self._spec.profile.counts_per_line)

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
        self._last_block_s = self._last_look_s = time.monotonic()

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
                raise CameraLostError(f"{self._spec.name}: was lost ({short(error)})") from error
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
                raise CameraLostError(f"{self._spec.name}: was lost ({short(error)})") from error
        return True

    def _hand_over(self, buffer: Any, received_s: float, take: Take) -> None:  # noqa: ANN401
        assert self.facts is not None
        assert self._form is not None
        self._last_block_s = received_s
        try:
            width, n_lines = int(buffer.width), int(buffer.height)
            delivered = number_of(buffer, "delivered_image_height")
            if delivered:
                n_lines = min(n_lines or delivered, delivered)
            offset = number_of(buffer, "image_offset") or 0
            padding = number_of(buffer, "padding_x") or 0
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
        self._last_encoder = tags.encoder_count if tags.encoder_count_last is None else tags.encoder_count_last
        # A block in which lines are missing, or in which the web turned, goes on as the stretches that are whole.
        assert self._chunks is not None
        for begin, end, part in self._chunks.parts(tags):
            if not take(part, lines[begin:end]):
                self._overruns += 1

    def _tags(self, buffer: Any, n_lines: int, received_s: float) -> BlockTags:  # noqa: ANN401
        assert self._chunks is not None
        chunks = self._chunks.read(buffer, n_lines)
        frame = number_of(buffer, "frame_id")
        return BlockTags(
            n_lines=n_lines,
            frame_id=chunks.get("frame_id") if frame is None else frame,
            line_number=chunks.get("line"),
            encoder_count=chunks.get("encoder"),
            encoder_count_last=chunks.get("encoder_last"),
            timestamp_ns=chunks.get("timestamp", number_of(buffer, "timestamp_ns")),
            incomplete_blocks=self._incomplete,
            underruns=self._underruns(),
            ring_overruns=self._overruns,
            chunk_errors=self._chunks.errors,
            received_monotonic_s=received_s,
        )

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
            encoder = None if name is None else int(self._features.value(name) or 0)
        except self._errors as error:
            raise CameraLostError(f"{self._spec.name}: was lost ({short(error)})") from error
        quiet_s = now - self._last_block_s
        if quiet_s < 2 * _STALL_LOOK_S:
            self._passed = None if encoder is None else self._passed_at(encoder)
        if self._stall_s is None or quiet_s < self._stall_s:
            return
        silence = f"no lines for {quiet_s:.1f} s"
        if encoder is not None:
            if self._passed is None or self._blocks_of(encoder) - self._passed <= 2:
                return  # the loom stands, or the web is not yet back where it turned: no line is triggered
            raise CameraLostError(f"{self._spec.name}: the stream stalled ({silence} while the encoder went on)")
        if profile.line_trigger != "encoder":
            raise CameraLostError(f"{self._spec.name}: the stream stalled ({silence})")

    def _blocks_of(self, encoder: int) -> float:
        """An encoder count in blocks of cloth."""
        assert self.facts is not None
        return encoder / (self._spec.profile.counts_per_line * self.facts.n_lines)

    def _passed_at(self, encoder: int) -> float:
        """How far the web has been, in blocks: where it is, or further where the last line that came lies further."""
        here = self._blocks_of(encoder)
        if self._last_encoder is None:
            return here
        line = self._blocks_of(self._last_encoder)
        return max(here, line) if abs(line - here) <= _SAME_ENCODER_BLOCKS else here

    def close(self) -> None:
        """Stop and let go of everything; each step for itself, because each may fail after a loss."""
        if self._acquirer is not None:
            quietly(self._acquirer.stop)
            quietly(self._acquirer.destroy)
            if self._acquirer.is_valid():  # a buffer it could not take back; without them it lets go of the device
                self._acquirer._announced_buffers.clear()
                quietly(self._acquirer.destroy)
        self._chunks, self._features, self._acquirer = None, None, None
        if self._harvester is not None:
            quietly(self._harvester.reset)
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
