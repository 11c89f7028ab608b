"""Events as a line for a person.

Promises: one line an event, control characters of texts made visible, units beside every number.
"""

from __future__ import annotations

from glass_edge.events.payloads import (
    Command,
    CoverageGap,
    DefectPayload,
    EngineActivated,
    OtherPayload,
    RollEnd,
    RollStart,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.payloads_records import Challenge, RollFigures, Verdict
from glass_edge.events.schema import Event, format_stamp
from glass_edge.events.sequencer import EpochChanged, Lost


def describe(event: Event) -> str:
    """Stamp, number, roll, kind and the figures that matter."""
    marks = " (simulated)" if event.is_simulated else ""
    roll = f" [{event.roll_id}]" if event.roll_id else ""
    line = f"{format_stamp(event.stamp_utc)} {event.station} #{event.seq}{roll} {event.kind}{marks}: {sentence(event)}"
    return printable(line)


def printable(text: str) -> str:
    """`text` with control characters, and what is no character, made visible."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def describe_notice(notice: Lost | EpochChanged) -> str:
    """What a client could not follow, in a sentence."""
    if isinstance(notice, Lost):
        return (
            f"events {notice.first_seq} to {notice.last_seq} are no longer kept by the station (epoch {notice.epoch})"
        )
    return (
        f"the station started a new journal: epoch {notice.epoch} follows {notice.previous}, of which event"
        f" {notice.delivered_seq} was the last received"
    )


def sentence(event: Event) -> str:  # noqa: PLR0911, PLR0912 - one sentence a kind
    """What an event tells, without its place."""
    match event.payload:
        case DefectPayload() as defect:
            return (
                f"defect {defect.defect_id} {defect.shape} at {defect.along_mm / 1000:.3f} m along,"
                f" {defect.across_mm:.1f} mm across, {defect.width_mm:.1f} x {defect.length_mm:.1f} mm,"
                f" score {defect.peak_score:.3f}"
            )
        case RollStart() as start:
            return f"style {event.style} from line {start.first_line}, {start.mm_per_line:g} mm a line"
        case RollEnd() as end:
            return (
                f"{end.woven_m:.3f} m woven, {end.inspected_m:.3f} m inspected, {end.missed_m:.3f} m missed,"
                f" {end.defects} defects"
            )
        case CoverageGap() as gap:
            detail = f" ({gap.detail})" if gap.detail else ""
            return f"{gap.length_m:.3f} m at {gap.along_mm / 1000:.3f} m not inspected, {gap.reason}{detail}"
        case StopRequest() as request:
            return f"request {request.request_id}: {request.reason}"
        case StopAck() as ack:
            answer = "accepted" if ack.accepted else "refused"
            return f"request {ack.request_id} {answer} by {ack.source}" + (f" ({ack.detail})" if ack.detail else "")
        case EngineActivated() as engine:
            return (
                f"{engine.style} {engine.version} on {engine.runtime} {engine.precision},"
                f" threshold logit {engine.threshold_logit:g}"
            )
        case Status() as status:
            fault = f", {status.fault_code}: {status.message}" if status.fault_code else ""
            bypass = ", stop rules bypassed" if status.is_bypassed else ""
            return f"{status.state}, {status.roll_m:.3f} m on the roll{bypass}{fault}"
        case Command() as command:
            return _told(command)
        case Challenge() as challenge:
            outcome = "passed" if challenge.is_passed else "not passed"
            return (
                f"{challenge.subject} {challenge.name}: {challenge.found} of {challenge.shown} found, at least"
                f" {100 * challenge.detection_low:.1f} % where {100 * challenge.wanted:.1f} % are asked for: {outcome}"
            )
        case Verdict() as verdict:
            fault = f", {verdict.fault}" if verdict.fault else ""
            return f"defect {verdict.defect_id} of roll {verdict.defect_roll_id} is {verdict.opinion}{fault}"
        case RollFigures() as figures:
            numbers = figures.model_dump(exclude={"model_sha256"}, exclude_none=True)
            return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        case OtherPayload() as other:
            return str(other.model_extra or {})


def _told(command: Command) -> str:
    asked = [text for text in (command.roll_id, command.style, command.version, command.request_id) if text is not None]
    if command.is_on is not None:
        asked.append("on" if command.is_on else "off")
    operator = f" for {command.operator}" if command.operator else ""
    reason = f": {command.reason}" if command.reason else ""
    others = f"; {command.refused_unlisted} more were refused before" if command.refused_unlisted else ""
    verdict = "accepted" if command.accepted else "refused"
    what = " ".join([command.command, *asked])
    return f"{what} by {command.client} ({command.role}){operator} {verdict}{reason}{others}"
