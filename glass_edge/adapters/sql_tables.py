"""The tables of the SQL adapter.

Promises: this is the one definition of them, for PostgreSQL and SQLite alike; every table and column says what it is,
in the database too where that keeps comments; `SCHEMA_VERSION` changes with any of them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from glass_edge.adapters.sql_types import DocumentText, Stamp

SCHEMA_VERSION = 1
_Kind: TypeAlias = TypeEngine[Any] | type[TypeEngine[Any]]

metadata = MetaData()


def _key(name: str, kind: _Kind, comment: str) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False, comment=comment)


def _value(name: str, kind: _Kind, comment: str) -> Column[Any]:
    return Column(name, kind, nullable=True, comment=comment)


def _needed(name: str, kind: _Kind, comment: str) -> Column[Any]:
    return Column(name, kind, nullable=False, comment=comment)


def _station() -> Column[Any]:
    return _key("station", Text, "Name of the station.")


def _epoch() -> Column[Any]:
    return _key("epoch", Text, "Journal of the station.")


schema_version = Table(
    "schema_version",
    metadata,
    _key("version", BigInteger, "Version of these tables."),
    _needed("program_version", Text, "Release of glass-edge that made them."),
    comment="One row: what made the tables.",
)

events = Table(
    "events",
    metadata,
    _station(),
    _epoch(),
    _key("seq", BigInteger, "Number within the epoch, from 1 without a gap."),
    _needed("kind", Text, "Kind of the event."),
    _needed("stamp_utc", Stamp, "When the station's journal took it."),
    _value("roll_id", Text, "Roll being woven; null when none was open."),
    _value("style", Text, "Fabric style of that roll."),
    _needed("is_simulated", Boolean, "Of a replay or a simulated camera."),
    _needed("is_partial", Boolean, "The roll was open: its figures were not final."),
    _needed("document", DocumentText, "The event as it was published, byte for byte."),
    comment="Every event, once. Rows are added and never changed.",
)

rolls = Table(
    "rolls",
    metadata,
    _station(),
    _epoch(),
    _key("first_seq", BigInteger, "Event the roll begins with: its roll.start, or the first there is of it."),
    _needed("roll_id", Text, "Name of the roll; may come again."),
    _value("style", Text, "Fabric style."),
    _needed("is_simulated", Boolean, "Of a replay or a simulated camera."),
    _needed("is_open", Boolean, "It is being woven. False too when its end never came and the station went on."),
    _needed("is_complete", Boolean, "Start, end and every event between them are in events."),
    _value("started_utc", Stamp, "Its roll.start; null when that never came, as are the four below."),
    _value("first_line", BigInteger, "Web line number of its first line."),
    _value("mm_per_px", Double, "Width of a pixel across the web, mm."),
    _value("mm_per_line", Double, "Advance between two camera lines, mm."),
    _value("ended_utc", Stamp, "Its roll.end; null while that has not come, as is everything below."),
    _value("end_seq", BigInteger, "Event of its end."),
    _value("woven_m", Double, "Metres woven."),
    _value("inspected_m", Double, "Metres of them inspected."),
    _value("missed_m", Double, "Metres of them not inspected."),
    _value("defects", BigInteger, "Defects of the roll, as it was counted at its end."),
    _value("cloth_width_mm", Double, "Mean width, selvedge to selvedge, mm; null where it was not seen."),
    _value("cloth_width_least_mm", Double, "Least width, mm."),
    _value("cloth_width_greatest_mm", Double, "Greatest width, mm."),
    _value("grading_table", Text, "Table of points it was graded by; null when it was not, as is everything below."),
    _value("points", BigInteger, "Points of the roll."),
    _value("points_per_100_m2", Double, "Points on 100 square metres inspected."),
    _value("points_per_100_yd2", Double, "Points on 100 square yards inspected."),
    _value("is_first_quality", Boolean, "It keeps the limits of first quality."),
    _value("grade_reasons", Text, "Why it does not, a line each."),
    _value("grade_remarks", Text, "What a reader of the grade must know besides, a line each."),
    comment="One row a roll.",
)

defects = Table(
    "defects",
    metadata,
    _station(),
    _epoch(),
    _key("roll_first_seq", BigInteger, "Roll it is on: rolls.first_seq."),
    _key("defect_id", BigInteger, "Number of the defect within the roll."),
    _needed("roll_id", Text, "Name of the roll."),
    _value("style", Text, "Fabric style."),
    _needed("found_seq", BigInteger, "First event of it."),
    _needed("found_utc", Stamp, "When that was."),
    _needed("last_seq", BigInteger, "Newest event of it, whose figures these are."),
    _needed("is_open", Boolean, "It may still grow: it has not ended, and its roll is open."),
    _needed("shape", Text, "warp_line, weft_line, block or point."),
    _needed("along_mm", Double, "Start of its box along the roll, mm from the roll's first line."),
    _needed("across_mm", Double, "Left edge of its box, mm from the left selvedge."),
    _needed("width_mm", Double, "Extent across the web, mm."),
    _needed("length_mm", Double, "Extent along the web, mm."),
    _needed("area_mm2", Double, "Area above threshold, mm2."),
    _needed("peak_score", Double, "Highest score, 0 to 1."),
    _needed("mean_score", Double, "Mean score, 0 to 1."),
    _value("oriented_length_mm", Double, "Longer side of the smallest rectangle around it, mm."),
    _value("oriented_width_mm", Double, "Its shorter side, mm."),
    _value("direction_deg", Double, "Of the longer side against the warp, degrees."),
    _value("contrast", Double, "Brightness against the cloth around it, less 1."),
    _needed("is_hole", Boolean, "It shows what lies behind the cloth."),
    _needed("is_running", Boolean, "A line along the web of the length that the station calls running."),
    _needed("is_cut_mark", Boolean, "The border of two rolls; no fault."),
    _needed("parts", BigInteger, "Marks in a row that were joined to it."),
    _value("merged_into", BigInteger, "Defect of the roll it grew together with, which includes it; else null."),
    _value("crop_file", Text, "Image of it, relative to the station's crop folder."),
    comment="One row a defect, as it was known last.",
)

gaps = Table(
    "gaps",
    metadata,
    _station(),
    _epoch(),
    _key("seq", BigInteger, "Event that tells of it."),
    _needed("stamp_utc", Stamp, "When it was told."),
    _value("roll_first_seq", BigInteger, "Roll it is on: rolls.first_seq; null when it is on none."),
    _value("roll_id", Text, "Name of that roll."),
    _needed("first_line", BigInteger, "First web line that was not inspected."),
    _needed("end_line", BigInteger, "Web line after the last."),
    _needed("along_mm", Double, "Start along the roll, mm from the roll's first line."),
    _needed("length_m", Double, "Length along the roll, m."),
    _needed("reason", Text, "Why, a short stable name."),
    _needed("detail", Text, "What happened, for a person."),
    comment="One row a stretch of cloth that passed and was not inspected.",
)

stops = Table(
    "stops",
    metadata,
    _station(),
    _epoch(),
    _key("seq", BigInteger, "Event of the request."),
    _needed("stamp_utc", Stamp, "When it was asked."),
    _value("roll_first_seq", BigInteger, "Roll it is on: rolls.first_seq; null when it is on none."),
    _value("roll_id", Text, "Name of that roll."),
    _needed("request_id", Text, "Name of the request."),
    _value("cause", Text, "Rule that asked; null for another cause."),
    _needed("reason", Text, "The rule with its figures, for a person."),
    _value("defect_id", BigInteger, "Defect that caused it."),
    _value("along_mm", Double, "Where, mm from the roll's first line."),
    _value("across_mm", Double, "Where, mm from the left selvedge."),
    _value("period_mm", Double, "Spacing of a repeat along the web, mm."),
    _value("ack_seq", BigInteger, "Event of the first answer; null while it waits, as is everything below."),
    _value("ack_utc", Stamp, "When it was answered."),
    _value("accepted", Boolean, "The controller stops the loom."),
    _value("ack_source", Text, "Who answered."),
    _value("ack_detail", Text, "What it said."),
    comment="One row a request to stop the loom, with its answer.",
)

station_state = Table(
    "station_state",
    metadata,
    _station(),
    _needed("epoch", Text, "Journal that became known last; everything below is of it."),
    _needed("seq", BigInteger, "Newest event."),
    _value("stamp_utc", Stamp, "When that was."),
    _value("is_simulated", Boolean, "Of a replay or a simulated camera."),
    _value("roll_first_seq", BigInteger, "Newest roll: rolls.first_seq; null before the first."),
    _value("roll_id", Text, "Its name."),
    _value("style", Text, "Its style."),
    _needed("is_roll_open", Boolean, "It is being woven."),
    _needed("status_seq", BigInteger, "Newest status event, 0 before the first; the fields below are its."),
    _value("status_utc", Stamp, "When that was."),
    _value("state", Text, "State of the station, named as in OPC 40100-1."),
    _value("fault_code", Text, "Short stable name of the fault; null when there is none."),
    _value("message", Text, "The fault for a person, with what to do."),
    _value("roll_m", Double, "Metres woven on the open roll."),
    _value("web_m_per_min", Double, "Speed of the cloth, m/min; null where it was not told."),
    _value("is_bypassed", Boolean, "The stop rules are bypassed: no stop is asked for."),
    _needed("engine_seq", BigInteger, "Newest engine.activated, 0 before the first; the fields below are its."),
    _value("engine_style", Text, "Style of the engine."),
    _value("engine_version", Text, "Version of its bundle."),
    comment="One row a station, as it is now.",
)

Index("rolls_by_end", rolls.c.ended_utc)
Index("rolls_by_name", rolls.c.roll_id)
for _table in (rolls, defects):
    Index(f"{_table.name}_open", _table.c.station, postgresql_where=_table.c.is_open, sqlite_where=_table.c.is_open)
