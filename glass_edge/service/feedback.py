"""Defects of a journal with what persons said of them.

Promises: one entry a defect, as it was last told; the last verdict counts; a verdict belongs to the defect that its
event tells of, so rolls of one name are told apart; entries come in the order of the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import DefectPayload, EngineActivated, RollEnd
from glass_edge.events.payloads_records import Opinion, Verdict
from glass_edge.events.schema import Event, Kind

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RollInJournal:
    """A roll.

    Attributes:
        number: from 1 in the order of the journal.
        roll_id, style: its names.
        model_sha256: model that scored it, of several the first; empty when the journal no longer tells.
        inspected_m: metres inspected; None while it is open, or when its end is missing.
    """

    number: int
    roll_id: str
    style: str
    model_sha256: str = ""
    inspected_m: float | None = None


@dataclass(frozen=True, slots=True)
class JudgedDefect:
    """A defect.

    Attributes:
        roll: number of its roll.
        seq: last event that told of it.
        payload: what that told.
        verdict: what a person said last; None: nothing.
    """

    roll: int
    seq: int
    payload: DefectPayload
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """A journal's rolls and defects; defects that grew together with another, and cut marks, are left out."""

    station: str
    epoch: str
    rolls: tuple[RollInJournal, ...]
    defects: tuple[JudgedDefect, ...]

    def of_roll(self, roll_id: str | None) -> RollInJournal:
        """The newest roll of a name; of None the newest of all.

        Raises:
            InputError: there is none.
        """
        for roll in reversed(self.rolls):
            if roll_id in (None, roll.roll_id):
                return roll
        names = ", ".join(dict.fromkeys(roll.roll_id for roll in reversed(self.rolls)))
        wanted = "any roll" if roll_id is None else f"a roll '{roll_id}'"
        raise InputError(f"the journal of station {self.station} knows no {wanted[2:]}; it has {names or 'none'}")

    def judged_rolls(self, model_sha256: str) -> tuple[int, int, float]:
        """Of the complete rolls of a model whose every defect was judged real or false: how many, their false alarms,
        and the metres inspected."""
        rolls, false, metres = 0, 0, 0.0
        for roll in self.rolls:
            if roll.model_sha256 != model_sha256 or not roll.inspected_m:
                continue
            opinions = [None if one.verdict is None else one.verdict.opinion for one in self._of(roll)]
            if all(opinion in (Opinion.REAL, Opinion.FALSE) for opinion in opinions):
                rolls, false, metres = rolls + 1, false + opinions.count(Opinion.FALSE), metres + roll.inspected_m
        return rolls, false, metres

    def _of(self, roll: RollInJournal) -> list[JudgedDefect]:
        return [one for one in self.defects if one.roll == roll.number]

    def defect(self, roll: RollInJournal, defect_id: int) -> JudgedDefect:
        """A defect of a roll.

        Raises:
            InputError: there is none of this number.
        """
        of_roll = self._of(roll)
        for one in of_roll:
            if one.payload.defect_id == defect_id:
                return one
        listed = ", ".join(str(one.payload.defect_id) for one in of_roll[:20]) or "none"
        raise InputError(f"roll {roll.roll_id} has no defect {defect_id}; it has {listed}")


def read_feedback(journal: Path) -> Feedback:
    """Rolls, defects and verdicts of a journal.

    Raises:
        InputError: no journal. JournalError: it cannot be read. EventFormatError: it holds a document that is no event.
    """
    fold = _Fold()
    with JournalReader(journal) as reader:
        from_seq = reader.extent().oldest
        while page := reader.read(from_seq, _PAGE).events:
            for stored in page:
                fold.take(parse_event(stored.document))
            from_seq = page[-1].seq + 1
        return Feedback(reader.station, reader.epoch, tuple(fold.rolls), fold.defects())


class _Fold:
    def __init__(self) -> None:
        self.rolls: list[RollInJournal] = []
        self._found: dict[tuple[int, int], JudgedDefect | None] = {}
        self._place_of_seq: dict[int, tuple[int, int]] = {}
        self._model = ""

    def take(self, event: Event) -> None:
        payload = event.payload
        if isinstance(payload, EngineActivated):
            self._model = payload.model_sha256
        elif event.kind == Kind.ROLL_START:
            self._begin(event)
        elif isinstance(payload, RollEnd) and self.rolls:
            self.rolls[-1] = replace(self.rolls[-1], inspected_m=payload.inspected_m)
        elif isinstance(payload, DefectPayload):
            if not self.rolls or self.rolls[-1].roll_id != event.roll_id:
                self._begin(event)  # its start is no longer kept
            place = len(self.rolls), payload.defect_id
            self._place_of_seq[event.seq] = place
            before = self._found.get(place)
            verdict = None if before is None else before.verdict
            is_none = payload.merged_into is not None or payload.is_cut_mark
            self._found[place] = None if is_none else JudgedDefect(place[0], event.seq, payload, verdict)
        elif isinstance(payload, Verdict):
            place = self._place_of_seq.get(payload.defect_seq, (0, 0))
            judged = self._found.get(place)
            if judged is not None and judged.payload.defect_id == payload.defect_id:
                self._found[place] = replace(judged, verdict=payload)

    def defects(self) -> tuple[JudgedDefect, ...]:
        return tuple(one for one in self._found.values() if one is not None)

    def _begin(self, event: Event) -> None:
        number = len(self.rolls) + 1
        self.rolls.append(RollInJournal(number, event.roll_id or "", event.style or "", self._model))
