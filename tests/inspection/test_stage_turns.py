"""A stage that is stuck does not turn; one that waits does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from inspection_peers import BlockCamera, ConvEngine, Notes, blocks_of

from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.sink import Progress

WIDTH = 200
CLOTH = np.full((400, WIDTH), 128, np.uint8)
SEEN_S = 2.5  # longer than two of the stages' waits


class Stuck:
    """Something that a thread does not come back from until the test lets it."""

    def __init__(self) -> None:
        self.is_in = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> None:
        self.is_in.set()
        self.let_go.wait(60)


class StuckEngine(ConvEngine):
    def __init__(self, stuck: Stuck) -> None:
        super().__init__(tile=(64, 64))
        self._stuck = stuck

    def collect(self) -> np.ndarray:
        self._stuck()
        return super().collect()


class StuckSink(Notes):
    def __init__(self, stuck: Stuck) -> None:
        super().__init__()
        self._stuck = stuck

    def progress(self, progress: Progress) -> None:
        del progress
        self._stuck()


@contextmanager
def _running(camera: BlockCamera, engine: ConvEngine | None = None, sink: Notes | None = None) -> Iterator[Callable]:
    pipeline = InspectionPipeline(
        camera,
        engine or ConvEngine(tile=(64, 64)),
        sink or Notes(),
        roll_id="R1",
        style=StyleParameters("plain", halo_px=16, smoothing_sigma_px=0.0, threshold_logit=5.0),
        scale=WebScale(0.5, 0.25),
        cloth=ClothSpan(0, WIDTH),
        settings=InspectionSettings(read_timeout_s=0.02, progress_s=30.0 if sink is None else 0.05),
        live=True,
    )
    with pipeline:
        yield lambda: pipeline.turns


def _still(turns: Callable[[], dict[str, int]]) -> set[str]:
    """The stages that do not turn for a while."""
    before = turns()
    time.sleep(SEEN_S)
    after = turns()
    assert before.keys() == after.keys() == {"camera", "inference", "defects"}
    return {name for name, count in after.items() if count == before[name]}


def test_a_standing_loom_leaves_every_stage_turning() -> None:
    camera = BlockCamera(blocks_of(CLOTH, [100]), WIDTH, endless=True)
    with _running(camera) as turns:
        assert _still(turns) == set()
        assert camera.lines_read == len(CLOTH)
        assert _still(turns) == set()


@pytest.mark.parametrize("part", ["camera", "inference", "defects"])
def test_what_hangs_is_the_stage_that_does_not_turn(part: str) -> None:
    stuck = Stuck()
    items = [*blocks_of(CLOTH, [100])] + ([stuck] if part == "camera" else [])
    engine = StuckEngine(stuck) if part == "inference" else None
    sink = StuckSink(stuck) if part == "defects" else None
    with _running(BlockCamera(items, WIDTH, endless=True), engine, sink) as turns:
        try:
            assert stuck.is_in.wait(10)
            assert part in _still(turns)
            if part != "defects":  # behind a sink that hangs the queue fills
                assert _still(turns) == {part}
        finally:
            stuck.let_go.set()


def test_before_the_camera_is_open_not_every_stage_has_turned() -> None:
    stuck = Stuck()

    class SlowToOpen(BlockCamera):
        def __enter__(self) -> SlowToOpen:
            stuck()
            return super().__enter__()

    with _running(SlowToOpen([], WIDTH, endless=True)) as turns:
        assert stuck.is_in.wait(10)
        time.sleep(SEEN_S)
        seen = turns()
        assert seen["camera"] == 0
        assert seen["inference"] > 0
        assert seen["defects"] > 0
        stuck.let_go.set()
        until = time.monotonic() + 10
        while turns()["camera"] == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
