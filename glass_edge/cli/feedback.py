"""`glass-edge feedback`: what a person says of the defects a station reported, and what follows from it.

Promises: a verdict is in the station's journal, with who gave it; nothing here changes an engine or a threshold: it is
proposed, with its price.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.station_options import (
    ClientKeyOption,
    OperatorOption,
    ServerKeyOption,
    TimeoutOption,
    client_keys,
    operator_name,
)

if TYPE_CHECKING:
    from glass_edge.calibration.verdict_threshold import ThresholdPrice
    from glass_edge.config.station import StationSettings
    from glass_edge.service.feedback import Feedback, JudgedDefect

StationOption = Annotated[Path, typer.Option(help="Station file; its journal and pictures are read.")]
RollOption = Annotated[str | None, typer.Option(help="Roll; the newest of this name. Left out: the newest of all.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class OpinionName(StrEnum):
    """What is said of a defect."""

    REAL = "real"
    FALSE = "false"
    UNSURE = "unsure"


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Judge reported defects, and learn from the verdicts.")
    group.command("list")(list_defects)
    group.command("judge")(judge)
    group.command("collect")(collect)
    group.command("threshold")(threshold)
    group.command("rate")(rate)
    group.command("names")(names)
    app.add_typer(group, name="feedback")


def names() -> None:
    """List the names of faults, in the terms of ISO 8498."""
    from glass_edge.fabric.fault_name import FaultName

    typer.echo("\n".join(FaultName))


def list_defects(*, config: StationOption, roll: RollOption = None, as_json: JsonOption = False) -> None:
    """List the defects of a roll, with the verdicts so far."""
    settings, feedback = _read(config)
    found = feedback.of_roll(roll)
    defects = [one for one in feedback.defects if one.roll == found.number]
    if as_json:
        document = [
            {
                "defect_id": one.payload.defect_id,
                "seq": one.seq,
                "defect": one.payload.model_dump(mode="json"),
                "verdict": None if one.verdict is None else one.verdict.model_dump(mode="json"),
            }
            for one in defects
        ]
        typer.echo(json.dumps({"roll_id": found.roll_id, "style": found.style, "defects": document}, indent=2))
        return
    judged = sum(one.verdict is not None for one in defects)
    typer.echo(f"roll {found.roll_id}, style {found.style}: {len(defects)} defects, {judged} judged")
    for one in defects:
        typer.echo(_line(one, settings))


def judge(
    defect_id: Annotated[int, typer.Argument(metavar="DEFECT", min=1, help="Number of the defect on its roll.")],
    opinion: Annotated[OpinionName, typer.Argument(help="What it is.")],
    *,
    config: StationOption,
    roll: RollOption = None,
    fault: Annotated[str | None, typer.Option(help="Its name; `feedback names` lists them.")] = None,
    note: Annotated[str, typer.Option(help="What else there is to say.")] = "",
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
) -> None:
    """Say that a defect is real or false, and what it is; the running station keeps it."""
    from glass_edge.errors import InputError
    from glass_edge.events.commands import keep_verdicts
    from glass_edge.events.payloads_records import Opinion, VerdictFigures
    from glass_edge.fabric.fault_name import FaultName

    if fault is not None and fault not in list(FaultName):
        raise InputError(f"--fault {fault}: no such name; `glass-edge feedback names` lists them")
    settings, feedback = _read(config)
    found = feedback.of_roll(roll)
    defect = feedback.defect(found, defect_id)
    verdict = VerdictFigures(
        defect_roll_id=found.roll_id,
        defect_id=defect_id,
        defect_seq=defect.seq,
        opinion=Opinion(opinion.value),
        fault=None if fault is None else FaultName(fault),
        note=note[:2000],
    )
    reply = keep_verdicts(
        settings.events.request_endpoint,
        [verdict],
        operator=operator_name(operator),
        timeout_s=timeout_s,
        keys=client_keys(server_key, client_key),
    )
    typer.echo(f"defect {defect_id} of roll {found.roll_id} is {opinion}; kept by {reply.station} as event {reply.seq}")


def collect(
    *,
    config: StationOption,
    out: Annotated[Path, typer.Option(help="Folder for the pictures; what is new is added.")],
    as_json: JsonOption = False,
) -> None:
    """Gather the pictures of judged defects: false ones as good cloth to train on, real ones by their name."""
    from glass_edge.cli.station_engine import station_engine
    from glass_edge.service.feedback_pictures import gather

    settings, feedback = _read(config)
    tile = station_engine(settings).bundle.manifest.tile
    found = gather(feedback, settings.output.folder / "crops", out, tile_px=(tile.height_px, tile.width_px))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    typer.echo(f"{out}: {found.false} false alarms in train/good, {found.real} real defects in real")
    if found.without:
        typer.echo(f"of {found.without} judged defects no picture is kept any more")
    if found.small:
        least = max(tile.height_px, tile.width_px)
        typer.echo(
            f"{found.small} pictures in train/good are smaller than a tile of {tile.height_px} x {tile.width_px} px,"
            f" and training refuses them: set inspection.crop_least_px = {least} for those to come"
        )


def threshold(
    *,
    config: StationOption,
    most_missed: Annotated[
        float, typer.Option("--most-missed", min=0, max=1, help="Part of the judged real defects that may be missed.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Propose a threshold from the verdicts on the engine that decides now, with what it would cost."""
    from glass_edge.calibration.verdict_threshold import propose, steps
    from glass_edge.cli.station_engine import station_engine
    from glass_edge.events.payloads_records import Opinion

    settings, feedback = _read(config)
    bundle = station_engine(settings).bundle
    own = settings.inspection.threshold_logit
    present = bundle.manifest.threshold.logit if own is None else own
    peaks: dict[Opinion, list[float]] = {opinion: [] for opinion in Opinion}
    for one in feedback.defects:
        if one.verdict is not None and feedback.rolls[one.roll - 1].model_sha256 == bundle.model_sha256:
            peaks[one.verdict.opinion].append(one.payload.peak_logit)
    false, real = peaks[Opinion.FALSE], peaks[Opinion.REAL]
    best = propose(present, false, real, most_missed=most_missed)
    if as_json:
        document = {
            "present": present,
            "proposed": asdict(best),
            "steps": [asdict(s) for s in steps(present, false, real)],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    manifest = bundle.manifest
    typer.echo(f"{manifest.style} {manifest.version}: {len(false)} defects judged false, {len(real)} real")
    typer.echo(_price("now     ", steps(present, false, real)[0]))
    if best.logit <= present:
        typer.echo("no higher threshold has fewer false alarms at this price")
        return
    typer.echo(_price("proposed", best))
    typer.echo(f"in the station file, if the price is right: [inspection] threshold_logit = {best.logit:.9g}")


def rate(*, config: StationOption, as_json: JsonOption = False) -> None:
    """The rate of false alarms on the rolls whose every defect was judged, beside the one that is promised."""
    from glass_edge.calibration.alarm_rate import alarm_rate
    from glass_edge.cli.station_engine import station_engine
    from glass_edge.errors import InputError
    from glass_edge.inspection.parameters import promised_per_100m

    settings, feedback = _read(config)
    bundle = station_engine(settings).bundle
    rolls, false, metres = feedback.judged_rolls(bundle.model_sha256)
    if not metres > 0:
        raise InputError(
            f"no roll of {bundle.manifest.style} {bundle.manifest.version} is judged whole: give every defect of one"
            " its verdict, unsure ones do not count"
        )
    seen = alarm_rate(false, metres, are_false=True)
    promised = promised_per_100m(bundle.manifest, settings.inspection)
    if as_json:
        typer.echo(json.dumps({"rolls": rolls, "promised_per_100m": promised} | asdict(seen), indent=2))
        return
    text = f"{seen.per_100m:.2g} ({seen.low_per_100m:.2g} to {seen.high_per_100m:.2g}) false alarms in 100 m"
    typer.echo(f"{rolls} rolls judged whole, {metres:.4g} m: {text}")
    typer.echo("the engine promises none" if promised is None else seen.describe(promised))


def _read(config: Path) -> tuple[StationSettings, Feedback]:
    from glass_edge.config.station import load_station
    from glass_edge.service.feedback import read_feedback

    settings = load_station(config)
    return settings, read_feedback(settings.events.journal)


def _line(one: JudgedDefect, settings: StationSettings) -> str:
    defect, verdict = one.payload, one.verdict
    said = "" if verdict is None else f"{verdict.opinion}{'' if verdict.fault is None else f' {verdict.fault}'}"
    picture = "no picture" if defect.crop_file is None else str(settings.output.folder / "crops" / defect.crop_file)
    return (
        f"#{defect.defect_id:<5} {said or '-':<22} {defect.shape:<10} {defect.along_mm / 1000:9.3f} m"
        f" {defect.across_mm:8.1f} mm  {defect.width_mm:6.1f} x {defect.length_mm:.1f} mm"
        f"  score {defect.peak_score:.3f}  {picture}"
    )


def _price(name: str, one: ThresholdPrice) -> str:
    return (
        f"{name} threshold {one.logit:.4g}: {one.false_left} of {one.false_all} false alarms reported,"
        f" {one.real_missed} of {one.real_all} real defects missed"
        f" ({100 * one.miss_low:.1f} to {100 * one.miss_high:.1f} %, 95 % confidence)"
    )
