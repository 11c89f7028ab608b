"""Recipe table `[data]`: the images of good cloth and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from glass_edge.config.base import Settings
from glass_edge.config.web import FixedSpan

NO_FOREGROUND = "none"
AUTO_FOREGROUND = "auto"


class DataSettings(Settings):
    """Table `[data]`."""

    folder: Path
    """Images: in the layout of MVTec AD, MPDD or WFDD (train/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png),
    of VisA (an object's folder, Data/Images/Normal), or a folder of good images or strips. Relative to the recipe's
    folder, or absolute."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """An image that cannot be read ends the run (`stop`), or is named, counted and left out (`skip`)."""
    holdout: float = Field(default=0.25, gt=0, lt=1)
    """Share of the good images that is not trained on and gives the threshold: whole images, chosen by the seed, one at
    least, never from test/."""
    mm_per_px: float | None = Field(default=None, gt=0, lt=10)
    """Scale of the images on the cloth, mm; left out: not known."""
    span: Literal["auto"] | FixedSpan = "auto"
    """`auto`: the selvedges are found in each image (with data.foreground, parts without selvedges: the whole width);
    or fixed columns: { left_px = 400, right_px = 4096 }."""
    selvedge_margin_px: int = Field(default=4, ge=0, le=1024)
    """Cloth this near to a found selvedge is not used, px."""
    foreground: str = Field(default=NO_FOREGROUND, min_length=1)
    """Where synthetic defects may lie in the good images: `none`: anywhere, for cloth that fills the tile; `auto`: on
    the part that stands out from the background along the image's border; or a folder of masks (white: the part), named
    as their images and of their size, relative to the recipe's folder."""

    @property
    def foreground_folder(self) -> Path | None:
        """Folder of foreground masks, None where they are computed or not used."""
        return None if self.foreground in (NO_FOREGROUND, AUTO_FOREGROUND) else Path(self.foreground)
