"""A GenICam camera as the inspection sees it.

Promises: keeps the `Camera` contract; every web line the camera counted is in a block or in a jump of the line
numbers that the block's health explains; the receiver owns its pixels (copied once out of the ring, which the flat
field does on its way). A camera that is lost is opened again and its lines go on where the web is; only one that stays
away for `give_up_s` ends the roll.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import Alarm, CameraFigures, CameraHealth, LineBlock
from glass_edge.acquisition.correction import Correction, LoadCorrection
from glass_edge.acquisition.genicam_process import ProcessFeed, ask
from glass_edge.acquisition.genicam_spec import CameraFacts, FeedLimits, GenicamSpec, find_producers
from glass_edge.acquisition.genicam_thread import ThreadFeed
from glass_edge.acquisition.line_counter import BlockTags, LineCounter, LineCounts
from glass_edge.config.camera import GenicamCameraSettings
from glass_edge.config.camera_profile import CameraProfile, load_profile
from glass_edge.errors import InputError

_HOLD_S = (0.5, 2.0)  # a block whose end is not known waits so long, at least and at most, for the one after it


class Feed(Protocol):
    """Where blocks come from: `ProcessFeed` or `ThreadFeed`."""

    faults: list[str]

    @property
    def is_away(self) -> bool:
        """No block follows those that wait."""

    def open(self) -> CameraFacts:
        """Open the camera and start its stream."""

    def peek(self, timeout_s: float, ahead: int = 0) -> tuple[BlockTags, NDArray[np.uint8]] | None:
        """A block as a view."""

    def release(self) -> None:
        """The oldest block is done with."""

    def close(self) -> None:
        """Let go of the camera."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a running camera.

    Attributes:
        line_rate_hz: while the web runs; None before the second block.
        web_m_per_min: the same as speed of the cloth.
        exposure_headroom: part of a line's time that the exposure leaves free; below 0 lines are missed.
        counts: totals.
    """

    line_rate_hz: float | None
    web_m_per_min: float | None
    exposure_headroom: float | None
    counts: LineCounts


class GenicamCamera:
    """A camera from a station file.

    Args:
        settings: table `[camera]`, its paths joined to the file's folder.
        mm_per_line: advance of the cloth between two lines, mm.
        load_correction: loads `settings.flat_field`.

    Raises:
        InputError: no producer or camera, a camera that cannot do what its profile asks, or one in use.
        CameraLostError: the camera does not answer.
    """

    def __init__(
        self, settings: GenicamCameraSettings, *, mm_per_line: float, load_correction: LoadCorrection | None = None
    ) -> None:
        self._settings = settings
        self._mm_per_line = mm_per_line
        self._spec = genicam_spec(settings)
        self._facts = probe(self._spec, settings.open_timeout_s)
        self._correction: Correction | None = None
        if settings.flat_field is not None:
            if load_correction is None:
                raise InputError("[camera] flat_field cannot be used here: leave it out")
            self._correction = load_correction(settings, self._facts)
        self._feed: Feed | None = None
        self._reset()

    def _reset(self) -> None:
        profile = self._spec.profile
        self._counter = LineCounter(
            counts_per_line=profile.counts_per_line,
            tolerance_lines=profile.encoder_tolerance_lines,
            encoder_bits=profile.encoder_bits,
            frame_id_bits=profile.frame_id_bits,
        )
        self._faults: list[str] = []
        self._began = False

    @property
    def facts(self) -> CameraFacts:
        """What the camera is."""
        return self._facts

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return self._facts.width_px

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self._facts.channels

    @property
    def is_simulated(self) -> bool:
        """The producer is known to be a simulation, or the station file says so."""
        return self._facts.is_simulated or self._settings.simulated

    @property
    def first_line(self) -> int:
        """Web lines are counted from the start of the stream."""
        return 0

    @property
    def counts_per_line(self) -> float | None:
        """Encoder counts from line to line; None where the camera sends none and lines are counted without."""
        return self._spec.profile.counts_per_line if "encoder" in self._facts.chunks else None

    @property
    def encoder_bits(self) -> int:
        """Width of the encoder's counter."""
        return self._spec.profile.encoder_bits

    @property
    def measured(self) -> Measured:
        """Line rate, speed and headroom so far."""
        rate, exposure = self._counter.line_rate_hz, self._spec.profile.exposure_us
        return Measured(
            rate,
            None if rate is None else rate * self._mm_per_line * 0.06,
            None if rate is None or exposure is None else 1.0 - exposure * 1e-6 * rate,
            self._counter.counts,
        )

    def figures(self) -> CameraFigures:
        """See `camera.MeasuresItself`."""
        seen = self.measured
        return CameraFigures(seen.line_rate_hz, seen.exposure_headroom)

    @property
    def process_id(self) -> int | None:
        """Of the camera process; None without one."""
        return self._feed.pid if isinstance(self._feed, ProcessFeed) else None

    def __enter__(self) -> Self:
        """Open the camera and start its stream."""
        self._reset()
        kind = ProcessFeed if self._settings.process else ThreadFeed
        settings = self._settings
        limits = FeedLimits(
            settings.ring_blocks,
            settings.stall_s,
            settings.open_timeout_s,
            settings.longest_pause_s,
            settings.give_up_s,
        )
        self._feed = kind(self._spec, limits)
        try:
            if self._correction is not None:
                self._correction.begin()
            facts = self._feed.open()
            if (facts.width_px, facts.channels) != (self.width_px, self.channels):
                raise InputError(f"the camera's lines changed from {self.width_px} to {facts.width_px} px; start again")
        except BaseException:
            self._feed.close()
            self._feed = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
            if self._correction is not None:
                self._correction.end()

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `camera.Camera.read`.

        Raises:
            CameraLostError: the camera was away for longer than `give_up_s`.
        """
        if self._feed is None:
            raise RuntimeError("read outside of the camera's 'with' block")
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self._feed.peek(max(0.0, deadline_s - time.monotonic()))
            if found is None:
                return None
            tags, view = found
            is_known, encoder_next = self._encoder_after(self._feed, tags, deadline_s)
            if not is_known:
                return None
            if (block := self._place(tags, view, encoder_next)) is not None:
                return block

    def take_faults(self) -> tuple[str, ...]:
        """See `camera.TellsFaults`: a camera that was lost, and why."""
        told = self._faults
        if self._feed is not None:
            told = told + self._feed.faults
            self._feed.faults.clear()
        self._faults = []
        return tuple(told)

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`: a lamp that cannot be followed any more."""
        told = () if self._correction is None else self._correction.take_faults()
        return tuple(Alarm("lamp", text) for text in told)

    def _encoder_after(self, feed: Feed, tags: BlockTags, deadline_s: float) -> tuple[bool, int | None]:
        """Whether the block can be placed now, and the encoder at the block after it.

        In a block whose end is not known the web may have turned back, and then its lines must not be taken.
        """
        if tags.encoder_count is None or tags.encoder_count_last is not None:
            return True, None
        rate = self._counter.line_rate_hz
        hold_s = min(max(_HOLD_S[0], 2 * tags.n_lines / rate if rate else 0.0), _HOLD_S[1])
        held_until_s = tags.received_monotonic_s + hold_s
        left_s = max(0.0, min(deadline_s, held_until_s) - time.monotonic())
        after = feed.peek(left_s, 1)
        if after is None:
            return feed.is_away or time.monotonic() >= held_until_s, None
        return True, after[0].encoder_count if after[0].session == tags.session else None

    def _place(self, tags: BlockTags, view: NDArray[np.uint8], encoder_next: int | None) -> LineBlock | None:
        assert self._feed is not None
        placement = self._counter.place(tags, encoder_next=encoder_next)
        self._faults += self._feed.faults
        self._feed.faults.clear()
        self._faults += placement.faults
        if placement.n_lines == 0:
            self._feed.release()
            return None
        fresh = view[placement.skip_lines : placement.skip_lines + placement.n_lines]
        lines = fresh.copy() if self._correction is None else self._correction.apply(fresh)
        self._feed.release()
        counter = self._counter
        age_s = time.monotonic() - tags.received_monotonic_s
        if counter.line_rate_hz is not None:
            age_s += placement.n_lines / counter.line_rate_hz
        block = LineBlock(
            lines=lines,
            first_line=placement.first_line,
            encoder_count=counter.encoder_at(placement.first_line),
            captured_utc=datetime.now(UTC) - timedelta(seconds=age_s),
            received_monotonic_s=tags.received_monotonic_s,
            starts_segment=not self._began,
            health=CameraHealth(counter.counts.incomplete_blocks, counter.counts.missed_lines, tuple(self._faults)),
        )
        self._began = True
        self._faults = []
        return block


def genicam_spec(settings: GenicamCameraSettings) -> GenicamSpec:
    """What the settings open.

    Raises:
        InputError: no producer, or the profile is wrong.
    """
    profile = CameraProfile() if settings.profile is None else load_profile(settings.profile)
    cti = find_producers(settings.cti)
    return GenicamSpec(cti, settings.serial_number, settings.user_id, profile, settings.fetch_timeout_s)


def probe(spec: GenicamSpec, timeout_s: float) -> CameraFacts:
    """Open the camera, set it to its profile, and close it, in a process of its own.

    Raises:
        InputError: no such camera, or it cannot do what the profile asks.
        CameraLostError: it is in use, does not answer within `timeout_s`, or its producer crashed.
    """
    return CameraFacts.from_json(ask({"task": "open", "spec": spec.to_json()}, timeout_s)["facts"])
