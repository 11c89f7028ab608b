"""Training a style: from good strips to a model, epoch by epoch.

Promises: no label is looked at: the model is that of the last epoch, or of the one that held-out good cloth chose (see
`selection`). After every epoch the model and a training state are handed to the watcher, who keeps them; an epoch that
was not finished, or that ended in values that are no numbers, leaves no trace. A continued run goes on as the
uninterrupted one would have, number by number on the same machine and threads.

Source: Chen et al., "A Unified Anomaly Synthesis Strategy with Gradient Ascent for Industrial Anomaly Detection and
Localization", ECCV 2024; whitening, relative lengths and re-estimated statistics are this program's own.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.data import ClothStrip, GoodData
from glass_edge.glass.feature_cache import FeatureCache
from glass_edge.glass.mahalanobis import fit_mahalanobis
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.optimisers import OptimiserConfig, Optimisers
from glass_edge.glass.selection import Candidate, Selector, choose
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer_device import training_device
from glass_edge.glass.trainer_epoch import LOGGED, EpochRunner
from glass_edge.glass.trainer_features import measure_good, spread_of_adapted, tile_batches, tile_shape
from glass_edge.glass.trainer_records import Ending, EpochRecord, TrainingResult, TrainingStopped, TrainingWatcher
from glass_edge.glass.trainer_state import TrainingState
from glass_edge.glass.trainer_step import step_config


class Trainer:
    """One run of the method 'glass'.

    Attributes:
        model: trained in place.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: GoodData,
        watcher: TrainingWatcher,
        selection: Sequence[ClothStrip] = (),
        *,
        cache_folder: Path | None = None,
    ) -> None:
        """Build the model and lay out the data.

        Args:
            recipe: what is trained; its hypothesis is settled.
            data: good cloth.
            watcher: told what happens.
            selection: good strips that choose the epoch, see `selection_tiles`; needed for select = 'synthetic'.
            cache_folder: for feature_cache = 'disk'; None: the system's folder for temporary files.

        Raises:
            InputError: weights, textures or strips cannot be used, or the device is not there.
        """
        self.recipe = recipe
        device = training_device(recipe)
        self.model = build_model(recipe).to(device)
        # twice as fast on CPUs for the depthwise convolutions of the Lite backbones
        self.model.backbone.to(memory_format=torch.channels_last)
        self._data = data
        self._watcher = watcher
        self._selection = selection
        training = recipe.training
        sampler = CropSampler(data.train, tile_shape(recipe), selvedge_share=training.selvedge_share, seed=recipe.seed)
        self._synthesiser = Synthesiser(recipe, sampler)
        self._optimisers = Optimisers(
            self.model.glass_head,
            OptimiserConfig(adaptor_lr=training.adaptor_lr, discriminator_lr=training.discriminator_lr),
        )
        self._cache_folder = cache_folder
        self._cache: FeatureCache | None = None
        self._state: TrainingState | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which more crops than `samples_per_epoch` were seen."""
        return self.recipe.training.samples_per_epoch // self.recipe.training.batch + 1

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of the same recipe and images instead of starting anew."""
        self.model.glass_head.load_state_dict(state.head)
        self._optimisers.load_state_dict(state.optimisers)
        self._state = state

    def has_ended(self, state: TrainingState) -> bool:
        """Whether no epoch follows `state`."""
        return self._end(state) is not None

    def run(self) -> TrainingResult:
        """Train until the recipe's number of epochs is reached, nothing improves, or the watcher stops the run.

        Raises:
            InputError: features that cannot be whitened.
            GlassEdgeError: a loss or a weight that is no number.
        """
        try:
            self._cache = FeatureCache.of_recipe(self.model, self._data.train, self._cache_folder)
            if self._state is None:
                self._state = self._measure()
            selector = self._selector()
            if selector is not None and not self._state.head and self.recipe.model.prior != "none":
                self._state = self._judge_untrained(selector, self._state)
            config = step_config(self.recipe, self._state.spread)
            runner = EpochRunner(self.model, self._optimisers, self._synthesiser, config, self._cache)
            while (ended := self._end(self._state)) is None:
                self._state = self._train_epoch(runner, selector, self._state)
        except TrainingStopped:
            ended = "stopped"
        done = self._state
        if done is None or not done.head:
            return TrainingResult(0, ended, None, 0.0)
        return TrainingResult(done.epoch, ended, done.chosen.epoch, done.seconds)

    def _end(self, state: TrainingState) -> Ending | None:
        """Why no epoch follows `state`; None when one does."""
        training = self.recipe.training
        if state.epoch >= training.epochs:
            return "all epochs"
        return "no improvement" if 0 < training.patience <= state.stale_epochs else None

    def _selector(self) -> Selector | None:
        if self.recipe.training.select == "last":
            return None
        self._watcher.begin("tiles that choose the epoch", None)
        return Selector(self.model, self._selection)

    def _measure(self) -> TrainingState:
        """Whiten by good cloth; the state before the first epoch."""
        self._watcher.begin("features of good cloth", None)
        gas = self.recipe.gas
        positional = gas.hypothesis == "hypersphere" and gas.centre == "positional"
        wants_spread = self.recipe.model.whiten or gas.relative
        good = measure_good(
            self.model,
            self._data.train,
            positional=positional,
            tick=self._watcher.tick,
            covariance=wants_spread,
            cache=self._cache,
        )
        if good.moments is None:
            return TrainingState(0, 0.0, 1.0, good.mean, {}, {})
        if self.recipe.model.whiten:
            self.model.fit_whitening(good.moments)
        spread = spread_of_adapted(self.model.glass_head, good.moments)
        return TrainingState(0, 0.0, spread, good.mean, {}, {})

    def _judge_untrained(self, selector: Selector, before: TrainingState) -> TrainingState:
        """Epoch 0: with a Gaussian prior the untrained model is the Mahalanobis map, and may stay the best."""
        return self._finish_epoch(EpochRecord(0, 0, 0.0), selector, before)

    def _train_epoch(self, runner: EpochRunner, selector: Selector | None, before: TrainingState) -> TrainingState:
        epoch, steps = before.epoch + 1, self.steps_per_epoch
        started = time.monotonic()
        self._watcher.begin(f"epoch {epoch} of {self.recipe.training.epochs}", steps)
        sums = dict.fromkeys(LOGGED, 0.0)
        with closing(runner.steps(epoch, steps, before.mean)) as logged:  # its thread ends with it
            for values in logged:
                for name, value in values.items():
                    sums[name] += value
                self._watcher.tick()
        if self.recipe.training.keep_norm_statistics == "reestimate":
            runner.reestimate_norm()
        means = {name: total / steps for name, total in sums.items()}
        return self._finish_epoch(EpochRecord(epoch, steps, time.monotonic() - started, **means), selector, before)

    def _finish_epoch(self, record: EpochRecord, selector: Selector | None, before: TrainingState) -> TrainingState:
        """Measure what the epoch made, choose, and hand it to the watcher."""
        started = time.monotonic()
        head = {name: tensor.detach().cpu().clone() for name, tensor in self.model.glass_head.state_dict().items()}
        _require_numbers(head, record)
        scores = None if selector is None else selector.measure()
        if scores is not None:
            record = replace(
                record,
                seconds=record.seconds + time.monotonic() - started,
                selection=scores.measure,
                selection_recall=scores.recall,
                selection_partial=scores.partial,
            )
        figures = record.figures()
        selection = None
        if scores is not None:
            candidate = Candidate(record.epoch, scores.measure, head, figures)
            selection = choose(before.selection, candidate, self.recipe.training.patience_margin)
        state = TrainingState(
            record.epoch,
            before.seconds + record.seconds,
            before.spread,
            before.mean,
            head,
            copy.deepcopy(self._optimisers.state_dict()),  # it refers to the tensors that train on
            figures,
            selection,
        )
        self._watcher.finished_epoch(record, self.model, state)
        return state


def _require_numbers(head: dict[str, Tensor], record: EpochRecord) -> None:
    for name, tensor in head.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise GlassEdgeError(
                f"epoch {record.epoch}, batch {record.steps}: {name} holds values that are no numbers; lower "
                "training.adaptor_lr and training.discriminator_lr; the checkpoint of the epoch before, if any, is kept"
            )


def fit_closed_form(recipe: Recipe, data: GoodData, watcher: TrainingWatcher) -> StyleModel:
    """The model of the method 'mahalanobis': one pass over good cloth, nothing trained.

    Raises:
        InputError: weights or images cannot be used.
        TrainingStopped: the watcher stopped the pass.
    """
    watcher.begin("features of good cloth", None)

    def tiles() -> Iterator[Tensor]:
        augment = recipe.augment.for_statistics
        size = recipe.training.batch
        for batch in tile_batches(data.train, tile_shape(recipe), size, augment=augment, seed=recipe.seed):
            yield batch
            watcher.tick()

    return fit_mahalanobis(recipe, tiles())


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let PyTorch take denormal numbers for zero meanwhile.

    Where the discriminator is sure the ascent's gradients are that small, and a CPU takes far longer over them. Around
    everything that computes, so that all threads inherit it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def use_threads(count: int) -> int:
    """Let PyTorch compute with `count` threads (0: one for each core this process may use); returns the number."""
    threads = count or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    return threads
