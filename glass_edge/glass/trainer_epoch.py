"""The steps of one epoch, and the BatchNorm statistics after it.

Promises: everything random follows from (seed, stream, epoch, step); the good and the synthetic tiles of a step go
through the backbone together, once.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError
from glass_edge.glass.crops import NORM_STREAM, TRAINING_STREAM
from glass_edge.glass.gas import draw_noise
from glass_edge.glass.mahalanobis import inner_points
from glass_edge.glass.model import StyleModel
from glass_edge.glass.networks import Head, estimate_norm_statistics
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.step import StepConfig, StepInput, StepLosses
from glass_edge.glass.synthesis import Synthesiser, TrainingBatch
from glass_edge.glass.trainer_step import recipe_step

LOGGED = ("total", "normal", "gaussian", "focal", "normal_right", "anomalous_right")
"""Losses and shares of `StepLosses` that are averaged over an epoch."""
NORM_BATCHES = 8
"""Batches from which the BatchNorm statistics are estimated anew."""
_LAST_RATE = 0.02
_NOISE_STREAM = 0x6A5
_SCORES_ARE_NAN = "between 0 and 1"  # from PyTorch's binary cross-entropy
_NORM_EPOCH = 0  # the same tiles after every epoch: what changes is the model


class EpochRunner:
    """Trains the head of `model` for one epoch at a time."""

    def __init__(self, model: StyleModel, optimisers: Optimisers, synthesiser: Synthesiser, config: StepConfig) -> None:
        self._model = model
        self._head: Head = model.glass_head
        self._recipe: Recipe = model.recipe
        self._optimisers = optimisers
        self._synthesiser = synthesiser
        self._config = config

    def steps(self, epoch: int, count: int, mean: Tensor) -> Generator[dict[str, float], None, None]:
        """Train `count` steps of `epoch` (from 1); yields what is logged of each.

        Args:
            epoch: number of the epoch.
            count: steps.
            mean: mean of the good features, (1 or positions, n_features); the centre is that of the adaptor now.

        Raises:
            GlassEdgeError: a loss that is no number; names epoch and batch.
        """
        centre = None
        if self._recipe.gas.hypothesis == "hypersphere":  # the manifold needs none
            with torch.no_grad():
                centre = self._head.adaptor(self._head.whiten(mean))
        with closing(self._synthesiser.batches(TRAINING_STREAM, epoch, count)) as batches:
            for step, batch in enumerate(batches, start=1):
                generator = torch.Generator().manual_seed(self._seed(epoch, step))
                inputs = self._inputs(batch, generator, centre)
                self._optimisers.scale_rates(self._rate_factor(epoch - 1 + (step - 1) / count))
                try:
                    losses = self._train(inputs)
                except RuntimeError as error:
                    if _SCORES_ARE_NAN not in str(error):
                        raise
                    raise _no_number(epoch, step, "scores are not between 0 and 1") from error
                yield _logged(losses, epoch, step)

    def _rate_factor(self, epochs_done: float) -> float:
        training = self._recipe.training
        if training.schedule == "constant":
            return 1.0
        return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * epochs_done / training.epochs))

    def reestimate_norm(self) -> None:
        """Set the BatchNorm's statistics to those of good and synthetic tiles drawn for this alone."""
        count = min(NORM_BATCHES, self._recipe.training.samples_per_epoch // self._recipe.training.batch + 1)
        with torch.no_grad(), closing(self._synthesiser.batches(NORM_STREAM, _NORM_EPOCH, count)) as batches:
            estimate_norm_statistics(self._head.discriminator, (self._adapted(batch) for batch in batches))

    def _train(self, inputs: StepInput) -> StepLosses:
        with_gas, with_las = self._recipe.gas.enabled, self._recipe.las.enabled
        self._head.train()
        try:
            return recipe_step(self._head, self._optimisers, inputs, self._config, with_gas=with_gas, with_las=with_las)
        finally:
            self._head.eval()

    def _adapted(self, batch: TrainingBatch) -> Tensor:
        adapted: Tensor = self._head.adaptor(self._head.whiten(self._points(batch)))
        return adapted

    def _points(self, batch: TrainingBatch) -> Tensor:
        """Features of the good tiles, then of the synthetic ones (if any)."""
        tiles = batch.good if batch.synthetic is None else np.concatenate([batch.good, batch.synthetic])
        return inner_points(self._model, torch.from_numpy(tiles))

    def _inputs(self, batch: TrainingBatch, generator: torch.Generator, centre: Tensor | None) -> StepInput:
        points = self._points(batch)
        has_las = batch.mask is not None
        normal, synthetic = points.chunk(2) if has_las else (points, points[:0])
        mask = torch.from_numpy(batch.mask.reshape(-1)) if batch.mask is not None else torch.zeros(0, dtype=torch.bool)
        wanted = self._recipe.gas.points
        selection = torch.randperm(len(normal), generator=generator)[:wanted] if 0 < wanted < len(normal) else None
        if selection is not None and (centre is None or len(centre) == 1):
            normal, selection = normal[selection], None  # positions do not count: the others need not be whitened
        count = len(normal) if selection is None else len(selection)
        noise = draw_noise((count, normal.shape[1]), self._config.gas.noise_sigma, generator, normal.device)
        with torch.no_grad():
            return StepInput(self._head.whiten(normal), self._head.whiten(synthetic), mask, noise, centre, selection)

    def _seed(self, epoch: int, step: int) -> int:
        entropy = np.random.SeedSequence([self._recipe.seed, _NOISE_STREAM, epoch, step])
        return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _logged(losses: StepLosses, epoch: int, step: int) -> dict[str, float]:
    values = {name: float(getattr(losses, name).detach()) for name in LOGGED}
    if not math.isfinite(values["total"]):
        raise _no_number(epoch, step, ", ".join(f"{name} {values[name]:g}" for name in LOGGED[1:4]))
    return values


def _no_number(epoch: int, step: int, what: str) -> GlassEdgeError:
    return GlassEdgeError(
        f"epoch {epoch}, batch {step}: the loss is no number ({what}); lower training.adaptor_lr and "
        "training.discriminator_lr; the checkpoint of the epoch before, if any, is kept"
    )
