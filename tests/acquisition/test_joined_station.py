"""Several cameras in a station file: paths, places, the map that comes with them, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from glass_edge.acquisition.camera import EndOfLinesError
from glass_edge.calibration.web_map import even_scale
from glass_edge.cli.joined import open_station_camera
from glass_edge.config.station import load_station
from glass_edge.errors import InputError

PICTURE = np.random.default_rng(1).integers(0, 256, (120, 300), dtype=np.uint8)
STATION = """
station = "pair"
bundle = "engines/plain"
[camera]
kind = "joined"
[[camera.cameras]]
name = "right"
kind = "replay"
path = "right.png"
scale = "right.json"
[[camera.cameras]]
name = "left"
kind = "replay"
path = "left.png"
left_mm = 0.0
[web]
mm_per_px = 0.1
mm_per_line = 0.2
"""


def station(folder: Path, text: str = STATION, scale_px: int = 180) -> Path:
    cv2.imwrite(str(folder / "left.png"), PICTURE[:, :200])
    cv2.imwrite(str(folder / "right.png"), PICTURE[:, 120:])
    even_scale(scale_px, 12.0, 0.1, 0.2).save(folder / "right.json")
    (folder / "station.toml").write_text(text)
    return folder / "station.toml"


def test_the_pictures_of_a_station_file_are_the_wide_picture(tmp_path: Path) -> None:
    settings = load_station(station(tmp_path))
    opened = open_station_camera(settings.camera, settings.web)
    assert opened.camera.width_px == 300
    assert opened.across is not None
    np.testing.assert_allclose(opened.across.across_mm([0, 160, 300]), [0, 16, 30], atol=1e-9)
    lines = []
    with opened.camera as camera:
        while True:
            try:
                block = camera.read(1.0)
            except EndOfLinesError:
                break
            if block is not None:
                lines.append(block.lines)
    np.testing.assert_array_equal(np.concatenate(lines), PICTURE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("left_mm = 0.0", 'left_mm = 0.0\nscale = "right.json"'),
            "camera left: give its scale .or left_mm., not both",
        ),
        (("left_mm = 0.0", ""), "camera left: give its scale"),
        (('name = "left"', 'name = "right"'), "several cameras are called right"),
        (("left_mm = 0.0", "left_mm = 0.0\nalong = 3"), "unknown key .*along"),
        (("left_mm = 0.0", "left_mm = -9.0"), "between left and right lie 1.00 mm that no camera sees"),
        (("mm_per_px = 0.1", "mm_per_px = 0.11"), r"mm_per_px = 0\.11, and the cameras' scales say"),
        (("mm_per_line = 0.2", "mm_per_line = 0.21"), r"mm_per_line = 0\.21, and the scale of camera right says 0\.2"),
        (('path = "left.png"', 'path = "middle.png"'), r"camera left: .*middle\.png"),
        (('scale = "right.json"', 'scale = "wrong.json"'), r"wrong\.json: no such file"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = station(tmp_path, STATION.replace(*change))

    def both() -> None:
        settings = load_station(path)
        open_station_camera(settings.camera, settings.web)

    with pytest.raises(InputError, match=message):
        both()


def test_a_scale_of_another_width_is_refused(tmp_path: Path) -> None:
    settings = load_station(station(tmp_path, scale_px=190))
    with pytest.raises(InputError, match=r"right\.json: measured with a camera of px 190, and right has 180"):
        open_station_camera(settings.camera, settings.web)
