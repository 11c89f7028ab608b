"""`glass-edge calibrate threshold`, with an engine whose good scores have a known distribution."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from station_support import GAIN, GREY, OFFSET, STRIDE, make_bundle, save

from glass_edge.cli.good_rolls import CELLS, BlockSink, GoodRolls, alarm_rows
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.bundle_diff import compare
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.blobs import BlobLabeller
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Segment

Run = Callable[..., tuple[int, str, str]]
WIDTH, SIGMA, SEGMENT_HALO = 96, 30.0, 16
CELLS_ACROSS = (WIDTH - 2 * SEGMENT_HALO) // STRIDE
MM = 0.5


def noisy(n_lines: int, seed: int) -> NDArray[np.uint8]:
    """Good cloth whose cells are normal and independent."""
    pixels = np.random.default_rng(seed).normal(GREY, SIGMA, (n_lines, WIDTH))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def true_per_100m(threshold_logit: float) -> float:
    """Cells of such cloth at or above a threshold in 100 m, from the model's own formula."""
    grey_values = (threshold_logit + OFFSET) / GAIN
    cells = 1e5 / (STRIDE * MM) * CELLS_ACROSS
    spread = np.hypot(SIGMA, 1 / np.sqrt(12)) / STRIDE  # rounding to whole grey values
    return float(cells * 2 * stats.norm.sf(grey_values / spread))


@pytest.fixture(scope="module")
def station_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("station") / "s.toml"
    path.write_text(
        'station = "loom1"\nbundle = "none"\n[camera]\nkind = "replay"\npath = "none"\n'
        f"[web]\nmm_per_px = {MM}\nmm_per_line = {MM}\nspan = {{ left_px = 0, right_px = {WIDTH} }}\n"
    )
    return path


@pytest.fixture(scope="module")
def rolls(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two rolls of 10 m, one of them two pieces."""
    folder = tmp_path_factory.mktemp("rolls")
    save(folder / "b" / "0.png", noisy(12_000, 2))
    save(folder / "b" / "1.png", noisy(8_000, 3))
    return [save(folder / "a.png", noisy(20_000, 1)), folder / "b"]


@pytest.fixture
def own(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "engines")


@pytest.mark.slow
def test_the_new_version_promises_what_is_true_of_the_cloth(
    tmp_path: Path, own: Bundle, rolls: list[Path], station_file: Path, run: Run
) -> None:
    code, out, err = run(
        "calibrate", "threshold", own.folder, *rolls, "--station", station_file, "--false-alarms-per-100m", 10,
        "--version", "2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    made = load_bundle(tmp_path / "engines" / "plain")
    assert made.folder.name == "2"
    threshold = made.manifest.threshold
    promise = threshold.promise
    assert promise is not None
    assert promise.tail is not None
    assert promise.metres == pytest.approx(20.0 - 3 * 2 * SEGMENT_HALO * MM / 1000)  # edges of three stretches
    assert (promise.rolls, promise.blocks, promise.block_m) == (2, 200, 0.1)
    assert promise.high_per_100m == pytest.approx(10.0, rel=1e-6)
    assert true_per_100m(threshold.logit) <= 10.0
    assert promise.low_per_100m <= true_per_100m(threshold.logit)
    assert promise.alarms_per_exceedance == pytest.approx(1.0, abs=0.15)
    assert threshold.quantile == pytest.approx(np.exp(-promise.estimate_per_100m / 1000), abs=1e-3)
    assert "threshold " in out
    assert "promise: at most 10 false alarms in 100 m" in out
    # Everything else is the old bundle's, byte for byte.
    changes = compare(own, made)
    evidence = {"threshold-evidence.json", "threshold-evidence.png"}
    assert {one.name for one in changes.files} <= evidence
    assert all(one.name.startswith(("threshold.", "created_utc", "version")) for one in changes.values)
    assert any(one.name == "threshold.promise.high_per_100m" for one in changes.values)
    document = json.loads(made.read("threshold-evidence.json"))
    maxima = [
        value for roll in document["rolls"] for stretch in roll["stretches"] for value in stretch["largest_logit"]
    ]
    assert len(maxima) == 200
    assert max(maxima) == pytest.approx(promise.largest_logit, abs=1e-4)
    shown = run("bundle", "show", made.folder)[1]
    assert "promise: at most 10 false alarms in 100 m" in shown
    assert "(it was 0 in version 1, where parity" in shown
    assert "threshold.promise.asked_per_100m" in run("bundle", "diff", own.folder, made.folder)[1]
    # Fresh cloth through replay: no more alarms than a Poisson count of the promise allows (1 in 1000).
    fresh = save(tmp_path / "fresh.png", noisy(60_000, 9))
    code, out, err = run(
        "replay", fresh, "--engine", made.folder, "--station", station_file, "--out", tmp_path / "o", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["defects"] <= stats.poisson.ppf(0.999, 10.0 * 0.3)


def test_what_the_metres_cannot_carry_is_refused_and_nothing_is_written(
    tmp_path: Path, own: Bundle, rolls: list[Path], station_file: Path, run: Run
) -> None:
    code, _, err = run(
        "calibrate", "threshold", own.folder, rolls[0], "--station", station_file, "--false-alarms-per-100m", 0.5,
        "--dry-run",
    )  # fmt: skip
    assert code == 2
    assert "one alarm in 200 m is more than 10 times the 9.98 m seen. Give 20 m or more" in err
    assert [path.name for path in (tmp_path / "engines" / "plain").iterdir()] == ["1"]


def test_one_roll_makes_no_promise(
    tmp_path: Path, own: Bundle, rolls: list[Path], station_file: Path, run: Run
) -> None:
    code, _, err = run(
        "calibrate", "threshold", own.folder, rolls[0], "--station", station_file, "--false-alarms-per-100m", 20
    )
    assert code == 2
    assert "one roll does not show how rolls differ" in err
    assert [path.name for path in (tmp_path / "engines" / "plain").iterdir()] == ["1"]


def test_a_dry_run_says_it_all_and_writes_nothing(
    tmp_path: Path, own: Bundle, rolls: list[Path], station_file: Path, run: Run
) -> None:
    code, out, err = run(
        "calibrate", "threshold", own.folder, rolls[0], "--station", station_file, "--false-alarms-per-100m", 20,
        "--block-m", 0.05, "--dry-run", "--json",
    )  # fmt: skip
    assert code == 0
    document = json.loads(out)
    assert document["bundle"] is None
    assert document["promise"]["blocks"] == 200
    assert "all cloth is of one roll" in err
    assert "largest: logit" in err
    assert [path.name for path in (tmp_path / "engines" / "plain").iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (("--version", "1"), "exists; versions are never overwritten"),
        (("--version", "../x"), "give letters, digits"),
        (("--false-alarms-per-100m", "0"), "a number above 0"),
    ],
)
def test_wrong_options_are_refused(  # noqa: PLR0917 - fixtures and cases
    own: Bundle, rolls: list[Path], station_file: Path, run: Run, extra: tuple[str, str], match: str
) -> None:
    asked = () if extra[0].startswith("--false") else ("--false-alarms-per-100m", 20)
    code, _, err = run("calibrate", "threshold", own.folder, *rolls, "--station", station_file, *asked, *extra)
    assert code == 2
    assert match in err


def test_a_station_with_its_own_smoothing_is_refused(
    tmp_path: Path, own: Bundle, rolls: list[Path], station_file: Path, run: Run
) -> None:
    other = tmp_path / "s.toml"
    other.write_text(station_file.read_text() + "[inspection]\nsmoothing_sigma_px = 3.0\n")
    code, _, err = run(
        "calibrate", "threshold", own.folder, rolls[0], "--station", other, "--false-alarms-per-100m", 20
    )
    assert code == 2
    assert "smoothing_sigma_px = 3 in the station file, and the bundle has 0" in err


def strip_of(logits: NDArray[np.float32], first_line: int = 0, first_cell: int = 3) -> ScoreStrip:
    return ScoreStrip(first_line, first_line + 4 * len(logits), 4, first_cell, logits)


@settings(deadline=None)
@given(st.integers(0, 9999), st.integers(0, 3), st.integers(0, 3), st.floats(0.5, 3.0))
def test_alarms_of_the_kept_cells_are_those_of_the_whole_strip(seed: int, rows: int, columns: int, x: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(90, 14)).astype(np.float32)
    labeller = BlobLabeller(x, gap_rows=rows, gap_columns=columns)
    step = labeller.push(logits)
    expected = sorted(blob.first_row for blob in [*step.closed, *labeller.flush().closed])
    at = np.argwhere(logits >= x).astype(np.int32)
    at = np.random.default_rng(seed).permutation(at)
    found = [] if not len(at) else alarm_rows(at[:, 0], at[:, 1], logits[at[:, 0], at[:, 1]], x, (rows, columns))
    assert sorted(found) == expected


@settings(deadline=None)
@given(st.integers(0, 9999), st.integers(1, 200), st.integers(1, 60))
def test_blocks_are_the_same_whatever_the_pieces_the_scores_come_in(seed: int, rows: int, block_rows: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 9)).astype(np.float32)
    sink = BlockSink(0, 0.5, 4, block_rows * 4 * 0.5 / 1000)
    sink.segment_started(Segment(0, ClothSpan(0, 50), ClothSpan(0, 50), "x.png"))
    first = 0
    while first < rows:
        n = int(random.integers(1, 50))
        sink.scores(strip_of(logits[first : first + n], 4 * first))
        first += n
    sink.finish()
    (stretch,) = sink.stretches
    starts = stretch.first_rows
    assert starts[0] == 0
    assert stretch.maxima == [float(part.max()) for part in np.split(logits, starts[1:])]
    assert sum(stretch.lengths_m) == pytest.approx(rows * 4 * 0.5 / 1000)
    sizes = np.diff([*starts, rows])
    assert (sizes[:-1] == block_rows).all()
    assert len(sizes) == 1 or 0.5 * block_rows <= sizes[-1] < 1.5 * block_rows
    good = GoodRolls(("r",), (stretch,), 0, 0)
    counted = good.count_alarms(1.5)
    labeller = BlobLabeller(1.5)
    step = labeller.push(logits)
    begins = [blob.first_row for blob in [*step.closed, *labeller.flush().closed]]
    assert counted.sum() == len(begins)
    for begin in begins:
        counted[np.searchsorted(starts, begin, side="right") - 1] -= 1
    assert not counted.any()
    assert all(len(one) <= CELLS for one in stretch.logits)


def test_a_break_in_the_lines_is_another_stretch() -> None:
    sink = BlockSink(0, 0.5, 4, 0.02)
    sink.scores(strip_of(np.zeros((12, 3), np.float32)))
    sink.scores(strip_of(np.zeros((12, 3), np.float32), 4 * 20))
    sink.finish()
    assert [sum(one.lengths_m) for one in sink.stretches] == pytest.approx([0.024, 0.024])
    assert [one.along_m[0] for one in sink.stretches] == pytest.approx([0.0, 0.04])


def test_a_manifest_without_a_promise_still_loads() -> None:
    demo = load_bundle(Path(__file__).parents[2] / "engines" / "demo" / "1")
    assert "promise" not in json.loads((demo.folder / "manifest.json").read_text())["threshold"]
    assert demo.manifest.threshold.promise is None
