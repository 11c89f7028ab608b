"""Files of tables of points: the shipped ones, a buyer's, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from glass_edge.config.grading import SHIPPED_TABLES, TABLES_FOLDER, GradingSettings, load_grading
from glass_edge.errors import InputError
from glass_edge.fabric.defect import DefectShape
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.grading import grade_roll

BUYER = """
name = "buyer"
unit = "yard"
cap_points = 4
cap_width_mm = 1650
running_above_mm = 228.6
running_points = 4
edge_exclusion_mm = 25.4
area_excludes_edges = true
size = [{ up_to_mm = 1, points = 0 }, { up_to_mm = 76.2, points = 1 }, { points = 4 }]
hole = [{ points = 4 }]
[first_quality]
points_per_100_yd2 = 28
continuous_units = 10
[styles.linen]
points_per_100_yd2 = 50
holes = 2
"""


def _load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "buyer.toml"
    path.write_text(text)
    return load_grading(path)


def test_every_file_of_the_package_is_a_table_that_is_named() -> None:
    assert {path.stem for path in TABLES_FOLDER.glob("*")} == set(SHIPPED_TABLES)
    for name in SHIPPED_TABLES:
        table = load_grading(name).table()
        assert table.cap_points == max(step.points for step in (*table.size, *table.warp, *table.weft, *table.hole))
    assert load_grading("four-point-yards").table().unit.mm == 914.4


def test_a_buyers_file_says_everything_that_a_buyer_may_ask_for(tmp_path: Path) -> None:
    table = _load(tmp_path, BUYER).table()
    faults = [
        Fault(1, DefectShape.POINT, 800, 100, 3, 3, is_hole=True),  # 4: any hole
        Fault(2, DefectShape.POINT, 10, 3000, 3, 3),  # in the edge
        Fault(3, DefectShape.POINT, 800, 3000, 1, 1),  # too small
        Fault(4, DefectShape.WARP_LINE, 800, 5000, 3, 500),  # 5000 to 5500: yards 5 and 6, border at 5486.4
        Fault(5, DefectShape.WEFT_LINE, 100, 9000, 300, 3),
    ]
    grade = grade_roll(table, faults, width_mm=1550.8, woven_m=30, inspected_m=30).grade
    assert grade.total_points == 16
    assert [unit.unit for unit in grade.units] == [0, 5, 6, 9]
    assert grade.points_per_100_m2 == pytest.approx(16 * 100_000 / (30 * 1500))
    assert grade.reasons == ("29.73 points per 100 yd2; first quality allows 28",)
    assert table.cap(1700) == 4
    assert table.cap(2062.5) == 5


def test_a_style_may_have_limits_of_its_own(tmp_path: Path) -> None:
    file = _load(tmp_path, BUYER)
    linen, other = file.table("linen").limits, file.table("twill").limits
    assert (linen.points_per_100_yd2, linen.holes, linen.continuous_units) == (50, 2, 10)
    assert (other.points_per_100_yd2, other.holes, other.continuous_units) == (28, None, 10)
    assert file.table() == file.table("twill")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('unit = "yard"', 'unit = "ell"'), r"buyer\.toml:3: unit = 'ell'.*'metre' or 'yard'"),
        (("cap_points", "cap_point"), r"unknown key 'cap_point'; did you mean 'cap_points'"),
        (("continuous_units", "continous_units"), r"did you mean 'continuous_units'"),
        (("holes = 2", "hole = 2"), r"unknown key 'styles\.linen\.hole'; did you mean 'holes'"),
        (("up_to_mm = 76.2", "up_to_mm = 1"), r"step 2 has up_to_mm = 1; it must exceed 1"),
        (("points = 1 }", "points = 9 }"), r"step 3 has 4 points; a larger defect needs as many"),
        (("{ points = 4 }]\nhole", "{ up_to_mm = 99, points = 4 }]\nhole"), r"size = .*the last step needs points"),
        (("up_to_mm = 76.2, points = 1", "points = 1"), r"step 2 needs up_to_mm or up_to_width"),
        (("up_to_mm = 76.2,", "up_to_mm = 76.2, up_to_width = 0.5,"), r"step 2 has both"),
        (("up_to_mm = 76.2", "up_to_in = 3"), r"unknown key 'size\.1\.up_to_in'"),
        (("hole = [{ points = 4 }]", "hole = []"), r"hole = .*the last step needs points"),
        (("size =", "warp ="), r"as size, or as warp and weft"),
        (("points_per_100_yd2 = 28\ncontinuous_units = 10", ""), r"first_quality has no limit"),
        (("cap_points = 4\n", ""), r"key 'cap_points' is missing"),
        (("running_points = 4", "running_points = -4"), r"running_points = -4"),
        (("_yd2 = 28", "_yd2 = nan"), r"points_per_100_yd2 = nan"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = BUYER.replace(*change, 1)
    assert text != BUYER
    with pytest.raises(InputError, match=message):
        _load(tmp_path, text)


def test_a_station_names_a_shipped_table_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "buyer.toml").write_text(BUYER)
    assert GradingSettings().relative_to(tmp_path).load() == load_grading("four-point-metric").table()
    chosen = GradingSettings(table="buyer.toml").relative_to(tmp_path)
    assert chosen.load("linen").limits.points_per_100_yd2 == 50
    with pytest.raises(InputError, match=r"gone\.toml: no such file"):
        GradingSettings(table=str(tmp_path / "gone.toml")).load()
    with pytest.raises(ValidationError, match="no table of points 'five-point'; give four-point-metric"):
        GradingSettings(table="five-point")
    with pytest.raises(InputError, match="no table of points 'five-point'"):
        load_grading("five-point")
