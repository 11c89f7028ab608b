"""The reference page of grading says what the program does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from glass_edge.config.grading import FirstQualitySettings, GradingFile
from glass_edge.config.stop_rule import StopSettings

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "grading.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "grading.md", "exec"), {})
    assert capsys.readouterr().out.startswith("6 4.02")  # 2 + 4 points on 99.5 m x 1.5 m


def test_the_buyers_file_loads() -> None:
    (example,) = blocks("toml")
    table = GradingFile.model_validate(tomllib.loads(example)).table("linen")
    assert table.limits.points_per_100_m2 == 40


@pytest.mark.parametrize("model", [GradingFile, FirstQualitySettings])
def test_every_key_of_a_file_is_on_the_page(model: type[BaseModel]) -> None:
    for name in model.model_fields:
        assert f"`{name}`" in PAGE, name


def test_every_key_of_the_stop_rules_is_on_the_page_with_its_default() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    found = {}
    for row in rows:
        keys, values = re.findall(r"`([a-z_.]+)`", row[1]), row[2].replace("`", "").split(",")
        found.update(zip(keys, (value.strip() for value in values), strict=False))
    for name, field in StopSettings.model_fields.items():
        if not isinstance(field.default, BaseModel):
            assert tomllib.loads(f"value = {found[name]}")["value"] == field.default
            continue
        for key, inner in type(field.default).model_fields.items():
            if key != "enabled":
                assert float(found[f"{name}.{key}"]) == inner.default, (name, key)
