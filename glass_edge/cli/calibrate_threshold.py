"""`glass-edge calibrate threshold`: an alarm threshold from good cloth, with a promised rate of false alarms.

Promises: what the metres cannot carry is refused (exit code 2) with the metres that would, and nothing is written; the
new bundle is another version beside the old, whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.calibration.tail_blocks import BlockMaxima
    from glass_edge.calibration.tail_promise import Promise
    from glass_edge.cli.good_rolls import GoodRolls, Stretch
    from glass_edge.config.station import StationSettings
    from glass_edge.config.web import WebSettings
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.manifest import ThresholdSpec
    from glass_edge.service.roll_job import RollJob

_SHOWN = 3


def threshold(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")],
    rolls: Annotated[
        list[Path],
        typer.Argument(
            metavar="GOOD_ROLL...",
            help="Good cloth that was not trained on: an image, a folder of images or a recording each.",
        ),
    ],
    *,
    false_alarms_per_100m: Annotated[float, typer.Option(help="Most announced defects in 100 m of good cloth.")],
    block_m: Annotated[
        float, typer.Option(min=0.001, max=1000.0, help="Length of a block of the whole width, m.")
    ] = 0.1,
    station: Annotated[Path | None, typer.Option(help="Station file for web, engine and inspection settings.")] = None,
    mm_per_px: Annotated[float | None, typer.Option(help="Width of a pixel, mm; default: the bundle's.")] = None,
    mm_per_line: Annotated[float | None, typer.Option(help="Advance a line, mm; default: as --mm-per-px.")] = None,
    joined: Annotated[bool, typer.Option("--joined", help="The images of a roll are consecutive scans.")] = False,
    version: Annotated[str | None, typer.Option(help="Of the new bundle; without it, the UTC time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is promised and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Find the threshold that good cloth promises, and write it into a new version of the bundle."""
    from glass_edge.calibration.tail_promise import promise
    from glass_edge.cli.good_rolls import GoodRolls, gap_cells
    from glass_edge.cli.promise_bundle import require_new, write_promised
    from glass_edge.cli.promise_evidence import promised_threshold
    from glass_edge.config.station import load_station
    from glass_edge.engine.bundle import load_bundle

    def say(text: str) -> None:
        typer.echo(text, err=as_json)

    loaded = load_bundle(bundle)
    name = version or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if not dry_run:
        require_new(loaded, name)
    settings = load_station(station) if station is not None else None
    jobs = [_job(place, loaded, settings, joined=joined, scale=(mm_per_px, mm_per_line)) for place in rolls]
    web, gap_mm = _one_web(jobs), jobs[0].inspection.gap_mm
    if len(rolls) == 1 and not dry_run:
        raise InputError(
            f"{rolls[0]}: one roll does not show how rolls differ, and what it promises may not hold for the next: "
            "give several, or see with --dry-run what this one says"
        )
    stretches = [one for number, job in enumerate(jobs) for one in _stretches(job, number, block_m, say)]
    gaps = gap_cells(gap_mm, web.scale, loaded.manifest.tile.score_stride_px)
    good = GoodRolls(tuple(str(place) for place in rolls), tuple(stretches), *gaps)
    blocks = good.blocks()
    for line in _largest(good, blocks):
        say(line)
    found = promise(blocks, false_alarms_per_100m, good.count_alarms)
    spec = promised_threshold(loaded.manifest, found, blocks, web=web, gap_mm=gap_mm, block_m=block_m)
    for line in _told(spec, found, blocks):
        say(line)
    written = (
        None if dry_run else write_promised(loaded, name, spec, good=good, found=found, engine=jobs[0].engine, say=say)
    )
    if as_json:
        document = {"bundle": None if written is None else str(written.folder), **spec.model_dump(mode="json")}
        typer.echo(json.dumps(document, indent=2))


def _job(
    place: Path,
    bundle: Bundle,
    settings: StationSettings | None,
    *,
    joined: bool,
    scale: tuple[float | None, float | None],
) -> RollJob:
    from glass_edge.cli.replay_job import Played, replay_job

    played = Played((place,), joined, None, *scale)
    job = replay_job(played, bundle, settings, roll_id=str(place))
    sigma, own = job.inspection.smoothing_sigma_px, bundle.manifest.smoothing_sigma_px
    if sigma is not None and sigma != own:
        raise InputError(
            f"inspection.smoothing_sigma_px = {sigma:g} in the station file, and the bundle has {own:g}: a threshold "
            "is promised for the bundle's; take the key out"
        )
    return job


def _one_web(jobs: list[RollJob]) -> WebSettings:
    first = jobs[0]
    for job in jobs[1:]:
        if job.web.scale != first.web.scale:
            raise InputError(
                f"{job.roll_id} was recorded at {job.web.mm_per_px:g} mm a px and {job.web.mm_per_line:g} a line, "
                f"{first.roll_id} at {first.web.mm_per_px:g} and {first.web.mm_per_line:g}; give rolls of one scale"
            )
    return first.web


def _stretches(job: RollJob, number: int, block_m: float, say: Callable[[str], None]) -> list[Stretch]:
    from glass_edge.cli.good_rolls import score_roll

    found = score_roll(job, number, block_m)
    metres, blocks = sum(sum(one.lengths_m) for one in found), sum(len(one.maxima) for one in found)
    largest = max(max(one.maxima) for one in found)
    say(f"{job.roll_id}: {metres:.4g} m inspected, {blocks} blocks, largest logit {largest:.4g}")
    return found


def _largest(good: GoodRolls, blocks: BlockMaxima) -> list[str]:
    """Where the largest blocks are: a defect among the good cloth would be there."""
    import numpy as np

    places = [(one, i) for one in good.stretches for i in range(len(one.maxima))]
    lines = []
    for index in np.argsort(blocks.maxima)[::-1][:_SHOWN]:
        stretch, i = places[index]
        source = f" ({stretch.source})" if stretch.source and stretch.source not in good.names[stretch.roll] else ""
        lines.append(
            f"largest: logit {blocks.maxima[index]:.4g} in {good.names[stretch.roll]}{source}, "
            f"{stretch.along_m[i]:.3f} to {stretch.along_m[i] + stretch.lengths_m[i]:.3f} m"
        )
    return [*lines, "look at these places: a defect among the good cloth makes the threshold too high"]


def _told(spec: ThresholdSpec, found: Promise, blocks: BlockMaxima) -> list[str]:
    from glass_edge.cli.bundle_show import promise_lines

    assert spec.promise is not None
    lines = [
        f"threshold {spec.logit:.4g} (was {spec.promise.previous_logit:.4g}): {spec.method}",
        *promise_lines(spec.promise),
    ]
    if found.tail is not None:
        alone = found.tail.threshold_by_estimate(found.asked_per_100m)
        lines.append(f"the estimate alone would put it at {alone:.4g}; more good cloth brings the two together")
    index, by_chance = found.clusters.extremal_index, found.clusters.extremal_index_by_chance
    if index < 0.7 * by_chance:
        lines.append(
            f"neighbouring blocks depend on each other (extremal index {index:.2f}, {by_chance:.2f} by chance); "
            "longer blocks (--block-m) say more"
        )
    if blocks.rolls == 1:
        lines.append("all cloth is of one roll: how rolls differ is not in the interval")
    return lines
