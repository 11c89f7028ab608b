"""`glass-edge bundle` and `glass-edge bench` on a real bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from glass_edge.cli import bench
from glass_edge.cli import bundle as bundle_group
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.openvino_model import supported_precisions
from glass_edge.errors import InputError

app = typer.Typer()
bench.register(app)
bundle_group.register(app)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_show(bundle: Bundle) -> None:
    text = run("bundle", "show", str(bundle.folder.parent))
    assert "twill 1" in text
    assert "48 x 96 px, RGB, halo 16 px" in text
    document = json.loads(run("bundle", "show", str(bundle.folder), "--json"))
    assert document["tile"]["height_px"] == 48
    assert document["files"] == bundle.manifest.files


def test_verify(bundle: Bundle) -> None:
    document = json.loads(run("bundle", "verify", str(bundle.folder), "--json"))
    assert [one["precision"] for one in document["parity"]] == list(supported_precisions())
    assert all(one["passed"] for one in document["parity"])
    assert "parity openvino f32" in run("bundle", "verify", str(bundle.folder), "--precision", "f32")
    assert "parity" not in run("bundle", "verify", str(bundle.folder), "--files-only")


def test_a_changed_byte_is_refused_by_every_command(bundle: Bundle) -> None:
    path = bundle.folder / "golden.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    for arguments in (("bundle", "show"), ("bundle", "verify"), ("bench",)):
        with pytest.raises(InputError, match=r"golden\.npz"):
            run(*arguments, str(bundle.folder))


def test_bench(bundle: Bundle) -> None:
    arguments = ("bench", str(bundle.folder), "--seconds", "0.05", "--batch", "1", "--batch", "3", "--precision", "f32")
    document = json.loads(run(*arguments, "--json"))
    assert [one["batch"] for one in document["figures"]] == [1, 3]
    assert document["comparisons"] == []
    assert document["engine"]["precision"] == "f32"
    assert document["machine"]["versions"]["openvino"]
    arithmetic, pipeline = document["arithmetic"], document["pipeline"]
    best = max(one["tiles_per_s"] for one in document["figures"])
    assert arithmetic["gflop_per_s"] == pytest.approx(best * arithmetic["gflop_per_tile"])
    assert arithmetic["share_of_peak"] > 0
    assert arithmetic["share_of_peak"] == pytest.approx(arithmetic["gflop_per_s"] / arithmetic["peak_gflop_per_s"])
    assert pipeline["rounds"] == 3
    assert pipeline["ratio_low"] <= pipeline["ratio"] <= pipeline["ratio_high"]
    # 1600 mm at 0.2 mm are 8000 px; less 16 px at either edge in insides of 64 px
    assert pipeline["web"] == {
        "width_mm": 1600.0,
        "mm_per_px": 0.2,
        "tile_columns": 125,
        "advance_lines": 16,
        "m_per_min": pytest.approx(pipeline["pipeline_tiles_per_s"] / 125 * 16 * 0.2e-3 * 60),
    }
    text = run(*arguments)
    assert "m/min" in text
    assert json.loads(run(*arguments, "--json", "--no-pipeline"))["pipeline"] is None
    assert document["machine"]["cpu"] in text
    assert "tiles/s" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reference",), "no checkpoint/; give --checkpoint"),
        (("--reference", "--checkpoint", "/no/such"), "--checkpoint /no/such"),
        (("--checkpoint", "/no/such"), "add --reference"),
        (("--batch", "0"), "--batch 0"),
        (("--precision", "f8"), "--precision f8"),
        (("--threads", "-1"), "--threads -1"),
        (("--threads", "1", "--streams", "2"), "streams = 2"),
        (("--seconds", "0"), "seconds = 0"),
        (("--width-mm", "0"), "--width-mm 0"),
        (("--mm-per-px", "-1"), "--mm-per-px -1"),
        (("--batch", "300"), "--max-batch 300"),
    ],
)
def test_wrong_options_are_named(bundle: Bundle, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        run("bench", str(bundle.folder), *options)
    assert words in str(caught.value)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        run("bench", str(tmp_path / "x"))
