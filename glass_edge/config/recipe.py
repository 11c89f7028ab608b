"""The recipe of a style: `engines/<style>.toml`, everything from the images to the threshold.

Promises: a recipe that loads can be built: its parts fit each other, its paths are absolute; what is unwise but
possible is said in `Recipe.warnings`. Every key but `data.folder` has a default that suits cloth on a CPU; the
defaults of `[gas]` become the published ones with `relative = false`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from glass_edge.config.base import Settings, load_toml
from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.config.recipe_backbone import BackboneSettings
from glass_edge.config.recipe_data import DataSettings
from glass_edge.config.recipe_inspection import RecipeInspectionSettings
from glass_edge.config.recipe_model import ModelSettings
from glass_edge.config.recipe_parity import ParitySettings
from glass_edge.config.recipe_synthesis import GasSettings, LasSettings
from glass_edge.config.recipe_tile import RecipeTileSettings
from glass_edge.config.recipe_training import TrainingSettings
from glass_edge.errors import InputError

STYLE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_TAPS = 9


class Recipe(Settings):
    """A recipe file."""

    style: str = Field(default="style", pattern=STYLE_PATTERN)
    """Name of the fabric style: letters, digits, '_', '.', '-'; left out: the file's name without its ending."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Everything random follows from it."""
    data: DataSettings
    """Images of good cloth."""
    backbone: BackboneSettings = BackboneSettings()
    """Frozen network."""
    tile: RecipeTileSettings = RecipeTileSettings()
    """Shape of crops and tiles."""
    model: ModelSettings = ModelSettings()
    """From feature maps to the logit."""
    gas: GasSettings = GasSettings()
    """Synthetic anomalies among the features."""
    las: LasSettings = LasSettings()
    """Synthetic anomalies on the image."""
    augment: AugmentSettings = AugmentSettings()
    """Good tiles varied as a loom camera's pictures vary."""
    training: TrainingSettings = TrainingSettings()
    """Training."""
    inspection: RecipeInspectionSettings = RecipeInspectionSettings()
    """From scores to defects."""
    parity: ParitySettings = ParitySettings()
    """How near an engine must come to the checkpoint."""

    @property
    def method(self) -> Literal["glass", "mahalanobis"]:
        """How the logit comes about."""
        return self.training.method

    @property
    def score_stride_px(self) -> int:
        """Pixels of a score cell: the finest level's stride."""
        return min(self.backbone.levels)

    @property
    def n_features(self) -> int:
        """Values a point."""
        only_finest = self.model.neighbours == "finest"
        levels = (
            self.model.level_width or (channels if index and only_finest else _TAPS * channels)
            for index, channels in enumerate(self.backbone.channels)
        )
        return self.model.width or sum(levels)

    @property
    def texture_is_grey(self) -> bool:
        """Whether textures lose their colour."""
        return self.tile.channels == 1 if self.las.grey is None else self.las.grey

    def warnings(self) -> list[str]:
        """What is possible but hardly meant, a sentence each."""
        glass = self.method == "glass"
        found = self.gas.warnings(self.n_features, whitened=self.model.whiten) if glass else []
        if glass and not (self.gas.enabled or self.las.enabled):
            found.append("gas.enabled and las.enabled are both false: there is nothing to learn from")
        if self.backbone.weights == "random":
            found.append("backbone.weights = 'random': an untrained backbone is good for trials of the program only")
        return found


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; relative paths in it count from its folder.

    Raises:
        InputError: the file is missing, no TOML, or a key or value is wrong; all problems are listed.
    """
    recipe = load_toml(path, Recipe)
    folder = path.parent.resolve()
    data: dict[str, object] = {"folder": folder / recipe.data.folder}
    if recipe.data.foreground_folder is not None:
        data["foreground"] = str(folder / recipe.data.foreground_folder)
    update: dict[str, object] = {"data": recipe.data.model_copy(update=data)}
    if recipe.backbone.has_weights_file:
        update["backbone"] = recipe.backbone.model_copy(update={"weights": str(folder / recipe.backbone.weights)})
    if recipe.las.textures_folder is not None:
        update["las"] = recipe.las.model_copy(update={"textures": str(folder / recipe.las.textures_folder)})
    if "style" not in recipe.model_fields_set:
        update["style"] = _style_of(path)
    return recipe.model_copy(update=update)


def _style_of(path: Path) -> str:
    stem = path.stem
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    if not stem or not stem[0].isalnum() or not set(stem) <= allowed:
        raise InputError(
            f"{path}: the file's name is no style name (letters, digits, '_', '.', '-'); rename it or give style = ..."
        )
    return stem
