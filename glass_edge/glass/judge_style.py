"""The hypothesis of GAS for a style whose recipe leaves it to the program (`gas.hypothesis = "judge"`, GLASS-j).

Promises: a style is judged once, when its training begins, from the good cloth it is trained on; what follows
(trainer, checkpoint, evaluation, bundle) sees a recipe that says manifold or hypersphere. Keys of `[gas]` that the user
left out take the defaults of the hypothesis that was found, those given stay.

Source: Chen et al., ECCV 2024, section 4, by `judge`. Instead of whole images squeezed to one size, tiles that lie side
by side on the cloth are averaged: what the model sees. For images of the size of a tile that is the same.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from glass_edge.config.recipe import Recipe
from glass_edge.config.recipe_synthesis import GasSettings
from glass_edge.files import write_bytes, write_json
from glass_edge.glass.crops import cover
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.judge import Judgement, average_image, judge
from glass_edge.glass.trainer_features import MOST_TILES, tile_shape

JUDGEMENT_NAME = "judgement.json"
SPECTRUM_NAME = "spectrum.png"
_MAGNIFIED = 3


@dataclass(frozen=True, slots=True)
class StyleJudgement:
    """What was found of a style.

    Attributes:
        hypothesis: 'manifold' or 'hypersphere'.
        tiles: how many were averaged.
        judgement: the numbers and the spectrum.
    """

    hypothesis: str
    tiles: int
    judgement: Judgement

    def document(self) -> dict[str, Any]:
        """Content of `judgement.json`; lengths in cells of the 289 x 289 spectrum."""
        found = self.judgement
        return {
            "hypothesis": self.hypothesis,
            "tiles_averaged": self.tiles,
            "points": found.points,
            "side_x": found.side_x,
            "side_y": found.side_y,
            "radius": found.radius,
            "line_density": found.line_density,
            "disc_density": found.disc_density,
            "mean_grey": found.mean_grey,
        }

    def sentence(self) -> str:
        """For the user."""
        found = self.judgement
        return (
            f"judged a {self.hypothesis} from the spectrum of {self.tiles} averaged tiles ({found.points} strong "
            f"points within {found.radius:.0f} cells, densities {found.line_density:.2f} and "
            f"{found.disc_density:.2f}; see {SPECTRUM_NAME}); gas.hypothesis can fix it"
        )


def resolve_hypothesis(recipe: Recipe, strips: Sequence[ClothStrip]) -> tuple[Recipe, StyleJudgement | None]:
    """The recipe with a hypothesis, judged when it asks for that.

    Args:
        recipe: of the method 'glass' or any other, which needs no hypothesis.
        strips: good cloth to train on, each as large as a tile at least.

    Returns:
        The recipe itself and None when the hypothesis is fixed already, else the resolved recipe and what was found.

    Raises:
        InputError: a strip that holds no tile.
    """
    if recipe.gas.hypothesis != "judge":
        return recipe, None
    tiles = list(cover(strips, tile_shape(recipe), MOST_TILES))  # views of the strips: no memory of their own
    found = judge(average_image(tile[:, :, 0] if tile.shape[2] == 1 else tile for tile in tiles))
    hypothesis = "hypersphere" if found.hypersphere else "manifold"
    given = recipe.gas.model_dump(include=recipe.gas.model_fields_set) | {"hypothesis": hypothesis}
    resolved = recipe.model_copy(update={"gas": GasSettings.model_validate(given)})
    return resolved, StyleJudgement(hypothesis, len(tiles), found)


def write_judgement(folder: Path, judged: StyleJudgement) -> None:
    """Write numbers and picture into `folder`."""
    write_json(folder / JUDGEMENT_NAME, judged.document())
    picture = Image.fromarray(judged.judgement.picture())
    side = picture.width * _MAGNIFIED
    stream = io.BytesIO()
    picture.resize((side, side), Image.Resampling.NEAREST).save(stream, "PNG")
    write_bytes(folder / SPECTRUM_NAME, stream.getvalue())
