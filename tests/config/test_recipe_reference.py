"""The reference page of the recipe is the models' own text, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.config.recipe_reference import recipe_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "recipe.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == recipe_reference()


def test_every_key_of_every_table_is_described() -> None:
    sections = dict(re.findall(r"^## (?:`\[)?(.*?)(?:\]`)?$\n(.*?)(?=^## |\Z)", recipe_reference(), re.M | re.S))
    tables: dict[str, type[BaseModel]] = {"Top of the file": Recipe}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tables[name] = field.annotation
    for title, model in tables.items():
        rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", sections[title], re.M))
        assert set(rows) == set(model.model_fields) - set(tables)
        assert all(len(text) > 3 for text in rows.values())


def test_the_examples_load_without_a_warning(tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```$", recipe_reference(), re.M | re.S)
    recipes = []
    for number, text in enumerate(examples):
        path = tmp_path / f"example{number}.toml"
        path.write_text(text, encoding="utf-8")
        recipes.append(load_recipe(path))
    assert [recipe.warnings() for recipe in recipes] == [[], []]
    published = recipes[1]
    assert (published.n_features, published.model.hidden, published.gas.noise_sigma) == (1536, 1024, 0.015)
