import json
from pathlib import Path

import numpy as np
import pytest

from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.cli.main import run

genicam = pytest.importorskip("genicam")
VIKY = Path(genicam.__file__).parent / "viky.cti"


def test_list_show_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cloth = np.zeros((64, 128), np.uint8)
    with VirtualLoom.create(tmp_path, cloth, serial="LOOM-7", user_id="left") as loom:
        cti = str(loom.cti)
        assert run(["camera", "list", "--cti", cti]) == 0
        assert capsys.readouterr().out == 'glass_edge VirtualLoom  serial LOOM-7  user id "left"  Custom\n'
        assert run(["camera", "list", "--cti", cti, "--cti", str(VIKY), "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["cameras"]) == 4
        assert run(["camera", "show", "--cti", cti, "--user-id", "left"]) == 0
        shown = capsys.readouterr().out
        assert "RW  ExposureTime = 50.0  (1 to 10000)" in shown
        assert "RW  PixelFormat = Mono8  (Mono8, Mono10, " in shown
        profile = tmp_path / "profile.toml"
        profile.write_text('line_trigger = "encoder"\nexposure_us = 40\nchunks = ["encoder", "line"]\n')
        assert run(["camera", "check", str(profile), "--cti", cti]) == 0
        checked = capsys.readouterr().out
        for line in (
            "set    TriggerSource = Encoder0",
            "set    ExposureTime = 40.0",
            "lacks  chunk line: the camera does not have it (LineCount, ScanLineCount, LineNumber)",
        ):
            assert line in checked


@pytest.mark.parametrize(
    ("profile", "options", "words"),
    [
        ("exposure_us = 10\ngain = 3", ["--serial", "0"], "exposure_us = 10.0: the camera has no such feature"),
        ("exposure_us = 10\ngain = 3", ["--serial", "0"], "gain = 3.0: the camera has no such feature"),
        ("", [], "3 cameras fit"),
        ("", ["--serial", "9"], "no camera with serial number 9 was found"),
        ("", ["--serial", "9", "--user-id", "x"], "not both"),
        ("exposure = 10", [], "unknown key 'exposure'; did you mean 'exposure_us'"),
        ('line_trigger = "encoder"\nexposure_us = 900\nline_rate_hz = 2000', [], "give at most 500"),
    ],
)
def test_what_cannot_be_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: str, options: list[str], words: str
) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(profile)
    assert run(["camera", "check", str(path), "--cti", str(VIKY), *options]) == 2
    assert words in capsys.readouterr().err


def test_no_producer_and_no_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    assert run(["camera", "list"]) == 2
    assert "no GenTL producer" in capsys.readouterr().err
    assert run(["camera", "list", "--cti", str(tmp_path / "x.cti")]) == 2
