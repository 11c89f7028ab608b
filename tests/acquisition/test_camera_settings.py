from pathlib import Path

import pytest

from glass_edge.config.base import Settings, load_toml
from glass_edge.config.camera import CameraSettings, LoomCameraSettings, ReplayCameraSettings
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.errors import InputError


class Station(Settings):
    camera: CameraSettings
    web: WebSettings


def read(tmp_path: Path, text: str) -> Station:
    path = tmp_path / "station.toml"
    path.write_text(text)
    return load_toml(path, Station)


WEB = "[web]\nmm_per_px = 0.1\nmm_per_line = 0.2\n"


def test_kind_decides_the_model(tmp_path: Path) -> None:
    replay = read(tmp_path, f'[camera]\nkind = "replay"\npath = "strips"\n{WEB}')
    assert isinstance(replay.camera, ReplayCameraSettings)
    assert replay.camera.path == Path("strips")
    assert replay.web.span == "auto"
    loom = read(tmp_path, f'[camera]\nkind = "loom"\ncloth = "satin"\n{WEB}span = {{ left_px = 5, right_px = 90 }}\n')
    assert isinstance(loom.camera, LoomCameraSettings)
    assert isinstance(loom.web.span, FixedSpan)
    assert loom.web.span.to_span().width_px == 85
    assert loom.web.scale.mm_per_line == 0.2


@pytest.mark.parametrize(
    ("camera", "web", "words"),
    [
        ('kind = "usb"', "", "kind|usb"),
        ('kind = "replay"', "", "path"),
        ('kind = "replay"\npath = "x"\nblock_line = 3', "", "block_line"),
        ('kind = "loom"\nwidth_px = 3', "", "width_px"),
        ('kind = "loom"', "span = { left_px = 9, right_px = 9 }\n", "right_px must exceed"),
        ('kind = "loom"', "selvedge_margin_mm = -1\n", "selvedge_margin_mm"),
        ('kind = "loom"', 'span = "left"\n', "span"),
    ],
)
def test_wrong_values_name_file_and_key(tmp_path: Path, camera: str, web: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, f"[camera]\n{camera}\n{WEB}{web}")
    assert "station.toml" in str(caught.value)
