"""The reference page of the recipe, written from the models themselves.

Promises: every key with its kind, its default and its meaning, in the order of the models; the page in
`docs/reference/recipe.md` is this text (`python -m glass_edge.config.recipe_reference` prints it, a test compares).
"""

from __future__ import annotations

import json
import sys
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from glass_edge.config.recipe import Recipe
from glass_edge.config.web import FixedSpan

_HEAD = """# Recipe

A recipe, `engines/<style>.toml`, says how one fabric style is learnt: from its images to its threshold. Only
`data.folder` must be given; every other key has a default that suits cloth on a CPU. Unknown keys are refused.
Relative paths count from the recipe's folder.

```toml
[data]
folder = "../data/my-twill"
mm_per_px = 0.2
```

"""
_PUBLISHED = """## The published GLASS

These values describe the model of Chen et al., ECCV 2024, as its authors' program trains it; the weights of the
backbone must be given as a file.

```toml
[data]
folder = "../data/carpet"

[backbone]
name = "wide_resnet50_2"
levels = [8, 16]
weights = "wide_resnet50_2.pth"

[tile]
height_px = 288
width_px = 288
halo_px = 0
channels = 3
exposure = "camera"

[model]
level_width = 1536
width = 1536
neighbours = "all"
hidden = 1024
whiten = false
adaptor = "xavier"
prior = "none"

[gas]
relative = false
centre = "positional"

[las]
source = "perlin"
textures = "dtd/images"

[training]
epochs = 640
samples_per_epoch = 392
batch = 8
points = 0
schedule = "constant"
selvedge_share = 0.0
keep_norm_statistics = "last"

[inspection]
smoothing_sigma_px = 4.0
```
"""


def recipe_reference() -> str:
    """The page as Markdown."""
    tables = [_table("Top of the file", Recipe)]
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tables.append(_table(f"`[{name}]`", field.annotation, field.description))
    return _HEAD + "\n".join(tables) + "\n" + _PUBLISHED


def _table(title: str, model: type[BaseModel], text: str | None = None) -> str:
    lines = [f"## {title}", ""]
    if text:
        lines += [text, ""]
    lines += ["| key | kind | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue  # a table of its own
        meaning = " ".join((field.description or "").split()).replace("<", r"\<")
        lines.append(f"| `{name}` | {_kind(field)} | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _kind(field: FieldInfo) -> str:
    limits = []
    for mark in field.metadata:
        for sign, name in ((">=", "ge"), (">", "gt"), ("<=", "le"), ("<", "lt")):
            if getattr(mark, name, None) is not None:
                limits.append(f"{sign} {getattr(mark, name)}")
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(annotation: object) -> str:
    named = {int: "whole number", float: "number", str: "text", bool: "true, false", Path: "path", FixedSpan: "columns"}
    if isinstance(annotation, type) and annotation in named:
        return named[annotation]
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if typing.get_origin(annotation) is tuple:
        return f"list of {_type_name(arguments[0])}s"
    return " or ".join(_type_name(one) for one in arguments if one is not type(None))


def _default(field: FieldInfo) -> str:
    if field is Recipe.model_fields["style"]:
        return "the file's name"
    if field.default is PydanticUndefined:
        return "must be given"
    if field.default is None:
        return "left out"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(recipe_reference())
