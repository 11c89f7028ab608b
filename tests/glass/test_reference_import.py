"""Checkpoints of the authors' program against recordings of it, and files that cannot be used."""

from __future__ import annotations

import tomllib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_weights import (
    ADAPTOR_NAMES,
    DISCRIMINATOR_NAMES,
    SEEDS,
    arrays,
    close,
    complete_shapes,
    drawn_in_order,
    reference_shapes,
)
from model_recipes import PUBLISHED, make_recipe

from glass_edge.config.recipe import Recipe
from glass_edge.config.recipe_reference import recipe_reference
from glass_edge.errors import InputError
from glass_edge.glass.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.networks import build_head
from glass_edge.glass.reference_import import import_reference, read_reference

SMALL = {
    "level_width": 24,
    "width": 24,
    "hidden": 16,
    "adaptor": "xavier",
    "whiten": False,
    "prior": "none",
    "neighbours": "all",
}
TILE = {"height_px": 64, "width_px": 112, "channels": 1, "exposure": "camera"}


def reference_file(path: Path, seed: int, tail_scale: float, width: int = 1536, hidden: int = 1024) -> Path:
    """A checkpoint as the authors' program writes it, with the weights of the recordings."""
    head = build_head(width, hidden, seed=0)
    adaptor = drawn_in_order(reference_shapes(head.adaptor, ADAPTOR_NAMES), seed + 1)
    discriminator = drawn_in_order(reference_shapes(head.discriminator, DISCRIMINATOR_NAMES), seed + 2)
    discriminator["tail.0.weight"] *= tail_scale
    discriminator["body.block1.1.num_batches_tracked"] = torch.tensor(9)
    torch.save({"discriminator": OrderedDict(discriminator), "pre_projection": OrderedDict(adaptor)}, path)
    return path


def golden_recipe(folder: Path, name: str) -> Recipe:
    weights = folder / f"{name}.pth"
    torch.save(drawn_in_order(complete_shapes(name), SEEDS[name][0]), weights)
    tile = {"height_px": 96, "width_px": 96, "channels": 3, "exposure": "camera"}
    recipe = make_recipe(name, (8, 16), model={**PUBLISHED, "neighbours": "all"}, tile=tile)
    return recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"weights": str(weights)})})


def through_a_checkpoint(folder: Path, model: StyleModel) -> StyleModel:
    """What is left of a model that was saved, in a program that has no other file."""
    save_checkpoint(folder / "run", model, model.recipe, CheckpointInfo(epoch=0, training_data_sha256="0" * 64))
    return load_checkpoint(folder / "run")[0]


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet50_2"])
def test_an_imported_checkpoint_gives_the_recorded_logits(tmp_path: Path, name: str) -> None:
    recipe = golden_recipe(tmp_path, name)
    weights = read_reference(reference_file(tmp_path / "ckpt.pth", *SEEDS[name]))
    assert (weights.n_features, weights.n_hidden) == (1536, 1024)
    model = through_a_checkpoint(tmp_path, import_reference(weights, recipe, probe_size_px=0))
    golden = arrays(f"inference_{name}")
    with torch.no_grad():
        close(model(torch.from_numpy(golden["image_uint8"])), golden["logits"], absolute=5e-5)


def test_the_probe_of_the_authors_program_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    recipe = golden_recipe(tmp_path, "resnet18")
    weights = read_reference(reference_file(tmp_path / "ckpt.pth", *SEEDS["resnet18"]))
    model = through_a_checkpoint(tmp_path, import_reference(weights, recipe, probe_size_px=96))
    golden = arrays("bn_stats_after_reference_init_resnet18")
    state = model.backbone.body.state_dict()
    for name in ("bn1", "layer2.0.bn1", "layer3.1.bn2"):
        for statistic in ("running_mean", "running_var"):
            close(state[f"{name}.{statistic}"], golden[f"{name.replace('.', '_')}_{statistic}"], of_max=1e-5)
    images = torch.from_numpy(arrays("inference_resnet18")["image_uint8"])
    with torch.no_grad():
        close(model.level_maps(images)[0][:, ::4], golden["layer2"], of_max=1e-5)
    assert model.backbone.weights_origin == "resnet18.pth, statistics after a probe of 96 x 96 px"


def small_recipe(**model: object) -> Recipe:
    return make_recipe("resnet18", (8, 16), model={**SMALL, **model}, tile=TILE)


def small_content() -> dict[str, dict[str, torch.Tensor]]:
    head = build_head(24, 16, seed=3)
    adaptor = drawn_in_order(reference_shapes(head.adaptor, ADAPTOR_NAMES), 1)
    return {
        "pre_projection": adaptor,
        "discriminator": drawn_in_order(reference_shapes(head.discriminator, DISCRIMINATOR_NAMES), 2),
    }


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_without_an_adaptor_the_features_go_to_the_discriminator_as_they_are(tmp_path: Path) -> None:
    content = small_content()
    del content["pre_projection"]
    weights = read_reference(save(tmp_path / "ckpt.pth", content))
    recipe = small_recipe(adaptor="none")
    model = import_reference(weights, recipe, probe_size_px=0)
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 112, 1), dtype=np.uint8))
    x, _ = build_model(recipe).points(tiles)
    theirs = {name: value.double() for name, value in content["discriminator"].items()}
    hidden = x.double() @ theirs["body.block1.0.weight"].T + theirs["body.block1.0.bias"]
    spread = (theirs["body.block1.1.running_var"] + 1e-5).sqrt()
    hidden = (hidden - theirs["body.block1.1.running_mean"]) / spread * theirs["body.block1.1.weight"]
    hidden += theirs["body.block1.1.bias"]
    expected = (torch.where(hidden > 0, hidden, 0.2 * hidden) @ theirs["tail.0.weight"].T).flatten()
    with torch.no_grad():
        close(model(tiles).flatten(), expected.numpy(), of_max=1e-5)
    with pytest.raises(InputError, match=r"model\.adaptor = 'xavier': the file holds no 'pre_projection'; give 'none'"):
        import_reference(weights, small_recipe())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 256}, r"body\.block1\.0\.weight is \(16, 24\): give model\.hidden = 16; the recipe has 256"),
        ({"width": 48}, r"body\.block1\.0\.weight is \(16, 24\): give model\.width = 24; the recipe has 48"),
        ({"whiten": True}, r"model\.whiten = true.*give false"),
        ({"prior": "adapted"}, r"model\.prior = 'adapted'.*give 'none'"),
        ({"adaptor": "none"}, r"model\.adaptor = 'none': the file holds a 'pre_projection'; give 'xavier'"),
        ({"neighbours": "finest"}, r"model\.neighbours = 'finest': .*give 'all'"),
        ({"level_width": 0}, r"model\.level_width = 0: .*1536"),
    ],
)
def test_a_recipe_of_another_model_is_told_what_would_fit(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    weights = read_reference(save(tmp_path / "ckpt.pth", small_content()))
    with pytest.raises(InputError, match=message):
        import_reference(weights, small_recipe(**changes))


def test_all_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    weights = read_reference(save(tmp_path / "ckpt.pth", small_content()))
    with pytest.raises(InputError) as raised:
        import_reference(weights, make_recipe())
    said = str(raised.value)
    wrong = {
        "backbone.name",
        "tile.exposure",
        *(f"model.{key}" for key in ("whiten", "prior", "neighbours", "level_width", "width", "hidden")),
    }
    assert all(f"{key} = " in said for key in wrong)
    assert len(said.splitlines()) == len(wrong)


def test_the_published_recipe_of_the_reference_page_is_what_an_import_asks_for(tmp_path: Path) -> None:
    page = recipe_reference().rpartition("```toml")[2].partition("```")[0]
    recipe = Recipe.model_validate({"style": "carpet", **tomllib.loads(page)})
    weights = read_reference(reference_file(tmp_path / "ckpt.pth", *SEEDS["resnet18"]))
    with pytest.raises(
        InputError, match=r"^wide_resnet50_2\.pth: no such weights file$"
    ):  # that is all it complains of
        import_reference(weights, recipe)


def without(part: str, name: str) -> dict[str, dict[str, torch.Tensor]]:
    content = small_content()
    del content[part][name]
    return content


def with_tensor(part: str, name: str, value: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    content = small_content()
    content[part][name] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}, "epoch": 3}, "no 'discriminator' in it, but state_dict, epoch"),
        ([1, 2], "no 'discriminator' in it, but list"),
        ({"discriminator": {"tail.0.weight": 1.0}}, "'discriminator' is no state dict"),
        (without("discriminator", "tail.0.weight"), r"missing discriminator\.tail\.0\.weight: .*--dsc_layers 2"),
        (
            with_tensor("discriminator", "body.block2.0.weight", torch.zeros(2)),
            r"unknown discriminator\.body\.block2\.0\.weight: .*--dsc_layers 2",
        ),
        (
            with_tensor("pre_projection", "layers.1fc.weight", torch.zeros(2)),
            r"unknown pre_projection\.layers\.1fc\.weight: .*--pre_proj 1",
        ),
        (
            with_tensor("pre_projection", "layers.0fc.weight", torch.zeros(24, 32)),
            r"pre_projection\.layers\.0fc\.weight is \(24, 32\), \(24, 24\) would fit",
        ),
        (
            with_tensor("discriminator", "body.block1.1.bias", torch.full((16,), torch.nan)),
            r"discriminator\.body\.block1\.1\.bias holds values that are no numbers",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    path = save(tmp_path / "ckpt.pth", content)
    with pytest.raises(InputError, match=message) as raised:
        read_reference(path)
    assert str(raised.value).startswith(f"{path}: ")


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_no_code_runs_from_a_file(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = save(tmp_path / "ckpt.pth", {**small_content(), "extra": Trap(trace)})
    torch.load(path, weights_only=False)
    assert trace.exists()  # the trap works
    trace.unlink()
    with pytest.raises(InputError, match=r"unpickling runs code from the file.*torch\.save"):
        read_reference(path)
    assert not trace.exists()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_reference(tmp_path / "ckpt.pth")
    path = save(tmp_path / "ckpt.pth", small_content())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"ckpt\.pth: cannot be read"):
        read_reference(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"ckpt\.pth: not a plain file of tensors"):
        read_reference(path)
