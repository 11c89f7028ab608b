"""The steps of one epoch, and the BatchNorm statistics after it.

Promises: everything random follows from (seed, stream, epoch, step), whatever the number of workers; the statistics are
those of the same good and synthetic tiles after every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing
from typing import cast

import numpy as np
import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError
from glass_edge.glass.crops import NORM_STREAM, TRAINING_STREAM
from glass_edge.glass.feature_cache import FeatureCache
from glass_edge.glass.model import StyleModel
from glass_edge.glass.networks import Head
from glass_edge.glass.norm_statistics import set_norm_statistics
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.statistics import StreamingMoments
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, compute_losses
from glass_edge.glass.step_inputs import InputMaker
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer_device import products_in

LOGGED = ("total", "normal", "gaussian", "focal", "normal_right", "anomalous_right")
"""Losses and shares of `StepLosses` that are averaged over an epoch."""
NORM_BATCHES = 8
"""Batches from which the BatchNorm statistics are estimated anew."""
_LAST_RATE = 0.02
_NOISE_STREAM = 0x6A5
_SCORES_ARE_NAN = "between 0 and 1"  # from PyTorch's binary cross-entropy
_NORM_EPOCH = 0  # the same tiles after every epoch: what changes is the model


class EpochRunner:
    """Trains the head of `model` for one epoch at a time, on the model's device."""

    def __init__(
        self,
        model: StyleModel,
        optimisers: Optimisers,
        synthesiser: Synthesiser,
        config: StepConfig,
        cache: FeatureCache | None = None,
    ) -> None:
        """Lay out a run.

        Args:
            model: trained in place.
            optimisers: of its head.
            synthesiser: draws the tiles.
            config: constants of a step.
            cache: maps of good tiles; None: they are computed each time.
        """
        self._head: Head = model.glass_head
        self._recipe: Recipe = model.recipe
        self._device = model.normalise.mean.device
        self._optimisers = optimisers
        self._synthesiser = synthesiser
        self._config = config
        self._inputs = InputMaker(model, config.gas.noise_sigma, cache)
        self._norm_moments = StreamingMoments(model.n_features)

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
                centre = self._head.adaptor(self._head.whiten(mean.to(self._device)))
        with closing(self._synthesiser.batches(TRAINING_STREAM, epoch, count)) as batches:
            for step, batch in enumerate(batches, start=1):
                generator = torch.Generator(self._device).manual_seed(noise_seed(self._recipe.seed, epoch, step))
                inputs = self._inputs.make(batch, generator, centre)
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
        if not self._norm_moments.n_points:
            training = self._recipe.training
            count = min(NORM_BATCHES, training.samples_per_epoch // training.batch + 1)
            with closing(self._synthesiser.batches(NORM_STREAM, _NORM_EPOCH, count)) as batches:
                for batch in batches:
                    for tiles in (batch.good, batch.synthetic):
                        if tiles is not None:
                            self._norm_moments.add(self._inputs.points(tiles))
        set_norm_statistics(self._head, self._norm_moments)

    def _train(self, inputs: StepInput) -> StepLosses:
        self._head.train()
        self._optimisers.zero_grad()
        try:
            with products_in(self._recipe.training.precision, self._device):
                losses = compute_losses(self._head, inputs, self._config)
            cast(Callable[[], None], losses.total.backward)()
            self._optimisers.step()
            return losses
        finally:
            self._head.eval()


def noise_seed(seed: int, epoch: int, step: int) -> int:
    """Seed of what a step draws beside its tiles, for the recipe's `seed`; both numbers count from 1."""
    entropy = np.random.SeedSequence([seed, _NOISE_STREAM, epoch, step])
    return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _logged(losses: StepLosses, epoch: int, step: int) -> dict[str, float]:
    read = torch.stack([getattr(losses, name).detach().float() for name in LOGGED]).tolist()  # one wait for the device
    values = dict(zip(LOGGED, read, strict=True))
    if not math.isfinite(values["total"]):
        raise _no_number(epoch, step, ", ".join(f"{name} {values[name]:g}" for name in LOGGED[1:4]))
    return values


def _no_number(epoch: int, step: int, what: str) -> GlassEdgeError:
    return GlassEdgeError(
        f"epoch {epoch}, batch {step}: the loss is no number ({what}); lower training.adaptor_lr and "
        "training.discriminator_lr; the checkpoint of the epoch before, if any, is kept"
    )
