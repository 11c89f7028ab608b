"""The virtual loom from a shell."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.acquisition.virtual_loom.__main__ import main

pytestmark = pytest.mark.skipif(
    shutil.which((shlex.split(os.environ.get("CC", "")) or ["cc"])[0]) is None, reason="no C compiler"
)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    Image.fromarray(np.zeros((20, 8), np.uint8)).save(tmp_path / "strip.png")
    assert main(["make", str(tmp_path / "loom"), str(tmp_path / "strip.png"), "--counts-per-line", "4"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "loom" / "virtual_loom.cti")
    return tmp_path / "loom"


def test_make_and_tell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loom = VirtualLoom(folder)
    assert (loom.cloth.width_px, loom.cloth.lines, loom.cloth.weave.counts_per_line) == (8, 20, 4)
    assert main(["tell", str(folder), "drop", "3"]) == 0
    assert main(["tell", str(folder), "incomplete"]) == 0
    assert (loom.pending("drop"), loom.pending("incomplete"), loom.pending("crash")) == (3, 1, 0)
    for order in (["run", "-20"], ["stop"], ["stall"], ["resume"], ["lose", "0.1"], ["find"], ["report"]):
        assert main(["tell", str(folder), *order]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "encoder_count 0"


def test_wrong_input_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tell", str(folder), "drop", "--serial", "OTHER"]) == 2
    assert "OTHER" in capsys.readouterr().err
    assert main(["make", str(folder), "no-such.png"]) == 2
    assert "no-such.png" in capsys.readouterr().err
