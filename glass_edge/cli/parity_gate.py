"""The parity gate of a build: golden tiles, held-out good tiles and, where given, labelled images.

Promises: every variant meets the same tiles and the same threshold; the checkpoint is asked once, unfused, in float32;
labelled images judge an engine beside its checkpoint, never a threshold or an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.cli.evaluation_run import evaluate
from glass_edge.cli.evaluation_subject import Subject
from glass_edge.cli.golden_tiles import tiles_of
from glass_edge.cli.good_strips import GoodStrip
from glass_edge.cli.torch_engine import TorchEngine
from glass_edge.config.recipe import Recipe
from glass_edge.engine.base import Engine
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import LabelledParity, ParityResult, ThresholdSpec
from glass_edge.engine.parity import Judge, Maps, compare_good, measure, rule_for, with_more
from glass_edge.errors import InputError
from glass_edge.glass.checkpoint import as_reference
from glass_edge.glass.evaluation_figures import Figures
from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer_features import tile_shape

GOOD_TILES = 48
"""Most held-out good tiles looked at, and used for the ranges of int8."""


@dataclass
class ParityGate:
    """What variants of one checkpoint are judged by.

    Attributes:
        model: the checkpoint.
        recipe: tolerances, smoothing.
        threshold: of the bundle to come.
        golden: its golden tiles with the checkpoint's logits.
        strips: held-out good cloth.
        labelled: folder of labelled images; None: not asked.
    """

    model: StyleModel
    recipe: Recipe
    threshold: ThresholdSpec
    golden: GoldenSet
    strips: Sequence[GoodStrip]
    labelled: Path | None = None
    _figures: Figures | None = field(default=None, init=False)

    @cached_property
    def good_tiles(self) -> NDArray[np.uint8]:
        """Held-out good tiles, uint8 (n, height, width, channels); the golden ones where no strip holds a tile."""
        try:
            return tiles_of(self.strips, self.recipe.tile, GOOD_TILES)
        except InputError:
            return self.golden.tiles

    @cached_property
    def _good_maps(self) -> Maps:
        reference = as_reference(self.model)
        return np.concatenate([reference(self.good_tiles[i : i + 1]) for i in range(len(self.good_tiles))])

    def judge(self, engine: Engine) -> ParityResult:
        """Run `engine` (entered, nothing in flight) through the gate.

        Raises:
            ParityError: it returned NaN or infinity. InputError: the labelled folder cannot be used.
        """
        recipe, logit = self.recipe, self.threshold.logit
        sigma_px, halo_px = recipe.inspection.smoothing_sigma_px, recipe.tile.halo_px
        rule = rule_for(engine.facts.precision, self.golden, logit, recipe.parity)
        result = measure(engine, self.golden, logit, sigma_px, rule, halo_px=halo_px)
        good = compare_good(
            engine, self.good_tiles, self._good_maps, Judge(logit, sigma_px, halo_px, recipe.score_stride_px)
        )
        return with_more(result, recipe.parity, good=good, labelled=self._labelled(engine))

    def _labelled(self, engine: Engine) -> LabelledParity | None:
        if self.labelled is None:
            return None
        subject = self._subject(engine)
        if self._figures is None:
            with TorchEngine(self.model) as checkpoint:
                self._figures = self._evaluate(replace(subject, engine=checkpoint))
        own, ours = self._figures, self._evaluate(subject)
        if own.tile_auroc is None or ours.tile_auroc is None:
            raise InputError(f"{self.labelled}: no good or no defect tiles among the test images; give both")
        return LabelledParity(
            folder=str(self.labelled),
            tile_auroc=ours.tile_auroc,
            tile_auroc_change=ours.tile_auroc - own.tile_auroc,
            regions_found_change=ours.all_kinds.regions_found - own.all_kinds.regions_found,
            false_alarms_change=ours.false_alarms_good - own.false_alarms_good,
        )

    def _evaluate(self, subject: Subject) -> Figures:
        return evaluate(subject, self.labelled, lambda done, total: None, intervals=False).figures

    def _subject(self, engine: Engine) -> Subject:
        recipe = self.recipe
        return Subject(
            path=Path(recipe.style),
            style=recipe.style,
            method=recipe.method,
            engine=engine,
            tile=tile_shape(recipe),
            sigma_px=recipe.inspection.smoothing_sigma_px,
            threshold=self.threshold,
            data=self.labelled,
            find_cloth=cloth_finder(recipe.data),
            on_bad_image=recipe.data.on_bad_image,
            min_area_px=recipe.inspection.min_area_px,
            output=None,
        )
