"""The page that describes the tables: its tables are the program's, and its queries answer right in both databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer, needs_postgres
from sql_support import Document, defect_payload, document, end_payload, reading, received, sink_of
from sqlalchemy import text

from glass_edge.adapters.sql_reference import table_reference

PAGE = (Path(__file__).parents[2] / "docs/reference/sql.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql query\n(.*?)```", PAGE, re.DOTALL)
# station, style, metres inspected of 100 woven, points in 100 m2 (None: not graded), first quality, shapes of defects
ROLLS: list[tuple[str, str, float, float | None, bool | None, list[str]]] = [
    ("loom1", "twill", 100.0, 12.5, True, ["point", "block", "point"]),
    ("loom1", "twill", 50.0, 40.0, False, ["warp_line"] * 4),
    ("loom2", "plain", 80.0, 3.0, True, []),
    ("loom2", "plain", 100.0, 25.0, False, ["point"]),
    ("loom2", "twill", 90.0, None, None, ["point", "weft_line"]),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as one:
        yield one


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.sqlite"
    return str(request.getfixturevalue("server").make_database())


def roll(number: int) -> list[Document]:
    """A roll with its defects, and a simulated, a cut mark and a merged one that no figure may count."""
    station, style, inspected_m, points, is_first, shapes = ROLLS[number]
    told = [defect_payload(place, shape=shape) for place, shape in enumerate(shapes, start=1)]
    told.append(defect_payload(90, is_cut_mark=True, shape="weft_line"))
    told.append(defect_payload(91, merged_into=1))
    end = end_payload(
        woven_m=100.0,
        inspected_m=inspected_m,
        missed_m=100.0 - inspected_m,
        defects=len(shapes),
        points_per_100_m2=points,
        is_first_quality=is_first,
    )
    start = {"first_line": 0, "mm_per_px": 0.1, "mm_per_line": 0.2}
    return [
        document(kind, payload, roll=f"R-{number}", station=station, style=style)
        for kind, payload in [
            ("roll.start", start),
            *(("defect.new", one) for one in told),
            *(("defect.end", one) for one in told),
            ("roll.end", end),
        ]
    ]


@pytest.fixture
def answers(url: str) -> list[list[tuple[Any, ...]]]:
    """What the queries of the page answer, in their order."""
    with sink_of(url) as sink, reading(url) as reader:
        for station in ("loom1", "loom2"):
            told = [one for number in range(len(ROLLS)) for one in roll(number) if one["station"] == station]
            told += [one | {"is_simulated": True} for one in roll(1)] if station == "loom1" else []
            numbered = [one | {"seq": seq, "station": station} for seq, one in enumerate(told, start=1)]
            sink.handle_many(received([*numbered[:3], *numbered[5:]] if station == "loom2" else numbered))
        with reader.transaction() as connection:
            return [[tuple(row) for row in connection.execute(text(query.strip("; \n")))] for query in QUERIES]


def test_the_tables_of_the_page_are_the_programs() -> None:
    assert table_reference() in PAGE, "run: python -m glass_edge.adapters.sql_reference"


def test_every_query_of_the_page_is_tried() -> None:
    assert len(QUERIES) == 5


def test_defects_in_100_m(answers: list[list[tuple[Any, ...]]]) -> None:
    wanted = [("loom1", 150.0, 100 * 7 / 150.0), ("loom2", 270.0, 100 * 3 / 270.0)]
    assert [tuple(row) for row in answers[0]] == [pytest.approx(row) for row in wanted]


def test_the_worst_rolls(answers: list[list[tuple[Any, ...]]]) -> None:
    assert [(row[1], row[5]) for row in answers[1]] == [("R-1", 40.0), ("R-3", 25.0), ("R-0", 12.5), ("R-2", 3.0)]


def test_first_quality(answers: list[list[tuple[Any, ...]]]) -> None:
    assert answers[2] == [("plain", 0.5), ("twill", 0.5)]


def test_shapes_of_each_roll(answers: list[list[tuple[Any, ...]]]) -> None:
    of_loom2 = [row[1:] for row in answers[3] if row[0] == "loom2"]
    assert [row[1:] for row in answers[3] if row[0] == "loom1"][:3] == [
        ("R-0", "block", 1),
        ("R-0", "point", 2),
        ("R-1", "warp_line", 4),
    ]
    assert of_loom2 == [("R-3", "point", 1), ("R-4", "point", 1), ("R-4", "weft_line", 1)]


def test_events_that_are_missing(answers: list[list[tuple[Any, ...]]]) -> None:
    assert answers[4] == [("loom2", "a" * 32, 2)]
