"""Planted defects through the inspection itself.

Promises: cloth with and without planted defects goes through the pipeline of `replay`: tiles, smoothing, threshold,
selvedge zone, smallest area; a planted defect is found when the box of an announced one comes within the slack of its
outline's box; nothing is planted where the cloth alarms by itself; what was not inspected does not count. Marks in a
row are not joined: whether one is announced does not depend on it, and a row would reach from one defect to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glass_edge.calibration.planted_defects import RIM_PX, Planted, YarnPitch, extent_px
from glass_edge.calibration.planted_defects_places import Place, PlantingArea, place_all
from glass_edge.cli.pod_cloth import ClothStretch, Order, PlantedCamera
from glass_edge.cli.pod_inspect import InspectedCloth, inspect_cloth
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox
from glass_edge.service.roll_job import RollJob
from glass_edge.service.truth_match import match_boxes

SLACK_PX = 8
"""How near a found box must come, px; that of `glass-edge evaluate`."""
_SIGMAS = 4
Tick = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PlantedOutcome:
    """What came of a planted defect.

    Attributes:
        order: what was planted.
        place: where, and in which stretch of the cloth.
        number: of the pass.
        planted: its box in the stretch, and its contrast.
        is_found: whether it was announced.
    """

    order: Order
    place: Place
    number: int
    planted: Planted
    is_found: bool


@dataclass(frozen=True, slots=True)
class PodRun:
    """What came of all of them.

    Attributes:
        outcomes: of the defects that were inspected.
        not_inspected: planted where the inspection did not look in the end; left out.
        false_alarms: announced defects of the cloth without planting.
        lines_inspected: of that cloth.
        other_alarms: announced defects of the passes that touch neither a planted one nor a false alarm.
        passes: over the cloth.
        camera: plays and draws the same again.
    """

    outcomes: tuple[PlantedOutcome, ...]
    not_inspected: int
    false_alarms: int
    lines_inspected: int
    other_alarms: int
    passes: int
    camera: PlantedCamera


def run_pod(
    job: RollJob,
    stretches: Sequence[ClothStretch],
    orders: Sequence[Order],
    yarns: YarnPitch | None,
    *,
    seed: int,
    say: Callable[[str], None],
    tick: Tick,
) -> PodRun:
    """Plant, inspect and count.

    Args:
        job: what with; its camera is not used.
        stretches: good cloth.
        orders: what to plant.
        yarns: of the cloth; None: not known.
        seed: of the places.
        say: told what is about to be done.
        tick: told lines begun and lines in all.

    Raises:
        InputError: a defect does not fit into the cloth, or the cloth was not inspected.
    """
    scale, tile = job.web.scale, job.bundle.manifest.tile
    extents = [extent_px(order.kind, order.size_mm, scale, yarns) for order in orders]
    ends = (1.0, 1.0) if yarns is None else (yarns.end_mm / scale.mm_per_px, yarns.pick_mm / scale.mm_per_line)
    good = PlantedCamera(stretches, [[]], orders, ends)
    alone = inspect_cloth(job, good, lambda line: tick(line, good.pass_lines))
    reach_px = math.ceil(_SIGMAS * _sigma_px(job)) + tile.halo_px
    areas = _areas(alone, good, stretches, edge_px=math.ceil(_SIGMAS * _sigma_px(job)))
    _check_room(orders, extents, areas, job)
    gap_mm = job.inspection.gap_mm
    # what one defect changes of the scores ends before what the next one changes begins, and a gap lies between
    apart = (2 * reach_px + gap_mm / scale.mm_per_px, 2 * reach_px + gap_mm / scale.mm_per_line)
    passes = place_all(extents, areas, apart, np.random.default_rng(seed))
    lines = len(passes) * good.pass_lines
    say(
        f"{len(alone.found)} false alarms without planting; {len(orders)} defects in {len(passes)} passes over "
        f"{good.pass_lines * scale.mm_per_line / 1000:.4g} m"
    )
    camera = PlantedCamera(stretches, passes, orders, ends)
    together = inspect_cloth(job, camera, lambda line: tick(line, lines))
    return _judge(camera, passes, orders, together, alone)


def _sigma_px(job: RollJob) -> float:
    own = job.inspection.smoothing_sigma_px
    return job.bundle.manifest.smoothing_sigma_px if own is None else own


def _areas(
    alone: InspectedCloth, camera: PlantedCamera, stretches: Sequence[ClothStretch], edge_px: int
) -> list[PlantingArea]:
    """Inspected cloth less an edge that the smoothing reaches over, by stretch; false alarms are kept clear."""
    areas = []
    for stretch, cloth in enumerate(stretches):
        first = camera.first_line_of(0, stretch)
        clear = tuple(_moved(box, -first) for box in alone.found if first <= box.first_line < first + len(cloth.lines))
        for one in alone.inspected:
            if not first <= one.first_line < first + len(cloth.lines):
                continue
            edge = max(edge_px, RIM_PX + 1)
            left, right = one.left_px + edge, one.right_px - edge
            top, bottom = one.first_line - first + edge, one.end_line - first - edge
            if left < right and top < bottom:
                areas.append(PlantingArea(stretch, WebBox(left, right, top, bottom), clear))
    return areas


def _check_room(
    orders: Sequence[Order], extents: Sequence[tuple[float, float]], areas: Sequence[PlantingArea], job: RollJob
) -> None:
    scale = job.web.scale
    for order, extent in zip(orders, extents, strict=True):
        if not any(area.room(*extent) for area in areas):
            across = max((area.box.right_px - area.box.left_px for area in areas), default=0) * scale.mm_per_px
            along = max((area.box.end_line - area.box.first_line for area in areas), default=0) * scale.mm_per_line
            raise InputError(
                f"{order.kind} of {order.size_mm:g} mm does not fit into the cloth: no piece has more than "
                f"{across:.4g} mm across and {along:.4g} mm along inside its inspected part; give smaller --sizes-mm, "
                "longer images, or --joined if they are consecutive scans"
            )


def _judge(
    camera: PlantedCamera,
    passes: Sequence[Sequence[Place]],
    orders: Sequence[Order],
    together: InspectedCloth,
    alone: InspectedCloth,
) -> PodRun:
    outcomes: list[PlantedOutcome] = []
    not_inspected = other_alarms = 0
    starts = np.array([box.first_line for box in together.found])
    inspected = [box for box in (one.box for one in together.inspected) if box is not None]
    for number, places in enumerate(passes):
        first = number * camera.pass_lines
        inside = (starts >= first) & (starts < first + camera.pass_lines)
        found = [together.found[k] for k in np.flatnonzero(inside)]
        here = [box for box in inspected if first <= box.first_line < first + camera.pass_lines]
        truths = [
            _moved(camera.planted[place.order].box, camera.first_line_of(number, place.stretch)) for place in places
        ]
        match = match_boxes(truths, found, SLACK_PX)
        for place, truth, hits in zip(places, truths, match.found_of_truth, strict=True):
            if not any(_holds(box, truth) for box in here):
                not_inspected += 1
                continue
            planted = camera.planted[place.order]
            outcomes.append(PlantedOutcome(orders[place.order], place, number, planted, bool(hits)))
        before = [_moved(box, first) for box in alone.found]
        others = [found[k] for k in match.false_alarms]
        other_alarms += len(match_boxes(before, others, SLACK_PX).false_alarms)
    return PodRun(
        tuple(sorted(outcomes, key=lambda one: one.place.order)),
        not_inspected,
        len(alone.found),
        sum(one.end_line - one.first_line for one in alone.inspected),
        other_alarms,
        len(passes),
        camera,
    )


def _moved(box: WebBox, lines: int) -> WebBox:
    return replace(box, first_line=box.first_line + lines, end_line=box.end_line + lines)


def _holds(outer: WebBox, inner: WebBox) -> bool:
    return (
        outer.left_px <= inner.left_px
        and inner.right_px <= outer.right_px
        and outer.first_line <= inner.first_line
        and inner.end_line <= outer.end_line
    )
