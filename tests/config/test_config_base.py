"""Reading TOML into settings: every complaint says where and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from glass_edge.config.base import Settings, load_toml
from glass_edge.errors import InputError


class Inner(Settings):
    """A table."""

    halo_px: int = Field(default=16, ge=0)
    """Halo."""


class Outer(Settings):
    """A file."""

    style: str
    """Name."""
    tile: Inner = Inner()
    """Table."""


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_toml(path, Outer)
    return str(caught.value).replace(str(path), "FILE")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('style = "twill"\n[tile]\nhalo_px = 32\n')
    assert load_toml(path, Outer) == Outer(style="twill", tile=Inner(halo_px=32))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('style = "a"\n[tile]\nhalo_pxx = 3\n', "FILE:3: unknown key 'tile.halo_pxx'; did you mean 'halo_px'?"),
        ('style = "a"\nzebra = 3\n', "FILE:2: unknown key 'zebra'; known keys here: style, tile"),
        ("[tile]\nhalo_px = 3\n", "FILE: key 'style' is missing"),
        (
            'style = "a"\n\n[tile]\nhalo_px = -1\n',
            "FILE:4: tile.halo_px = -1: Input should be greater than or equal to 0",
        ),
        ("style = \n", "FILE: not valid TOML: Invalid value (at line 1, column 9)"),
    ],
)
def test_a_complaint_names_file_line_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text) == expected


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    found = complaint(tmp_path, 'styl = "a"\n[tile]\nhalo_px = "x"\n').splitlines()
    assert [line.split(": ")[0] for line in found] == ["FILE", "FILE:3", "FILE:1"]


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        load_toml(tmp_path / "none.toml", Outer)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b\.toml: cannot be read as UTF-8"):
        load_toml(tmp_path / "b.toml", Outer)
