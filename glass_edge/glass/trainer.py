"""Training a style: from good strips to a model, epoch by epoch.

Promises: no label is looked at and no epoch is chosen: the last one is the model. After every epoch the model and a
training state are handed to the watcher, who keeps them; an epoch that was not finished leaves no trace, whatever ended
it. A continued run goes on as the uninterrupted one would have, number by number on the same machine and threads.

Source: Chen et al., "A Unified Anomaly Synthesis Strategy with Gradient Ascent for Industrial Anomaly Detection and
Localization", ECCV 2024; whitening, relative lengths and re-estimated statistics are this program's own.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.data import GoodData
from glass_edge.glass.mahalanobis import fit_mahalanobis
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.optimisers import OptimiserConfig, Optimisers
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer_epoch import LOGGED, EpochRunner
from glass_edge.glass.trainer_features import measure_good, spread_of_adapted, tile_batches, tile_shape
from glass_edge.glass.trainer_state import TrainingState
from glass_edge.glass.trainer_step import step_config


class TrainingStopped(Exception):
    """The run was asked to stop."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Means over the steps of an epoch, see `step.StepLosses`; `epoch` counts from 1."""

    epoch: int
    steps: int
    seconds: float
    total: float
    normal: float
    gaussian: float
    focal: float
    normal_right: float
    anomalous_right: float

    def row(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


class TrainingWatcher(Protocol):
    """Who watches a run and keeps what it makes; called from the training thread."""

    def begin(self, what: str, total: int | None) -> None:
        """A phase of `total` ticks begins (None: not known)."""

    def tick(self) -> None:
        """A batch is done; raises `TrainingStopped` to end the run here."""

    def finished_epoch(self, record: EpochRecord, model: StyleModel, state: TrainingState) -> None:
        """An epoch is done and the model is whole: keep it."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        epochs: finished, those before a resumption included.
        stopped: it was stopped before the last one.
        seconds: time of the finished epochs.
    """

    epochs: int
    stopped: bool
    seconds: float


class Trainer:
    """One run of the method 'glass'.

    Attributes:
        model: trained in place.
    """

    def __init__(self, recipe: Recipe, data: GoodData, watcher: TrainingWatcher) -> None:
        """Build the model and lay out the data.

        Raises:
            InputError: weights, textures or strips cannot be used.
        """
        self.recipe = recipe
        self.model = build_model(recipe)
        # twice as fast on CPUs for the depthwise convolutions of the Lite backbones
        self.model.backbone.to(memory_format=torch.channels_last)
        self._data = data
        self._watcher = watcher
        training = recipe.training
        sampler = CropSampler(data.train, tile_shape(recipe), selvedge_share=training.selvedge_share, seed=recipe.seed)
        self._synthesiser = Synthesiser(recipe, sampler)
        self._optimisers = Optimisers(
            self.model.glass_head,
            OptimiserConfig(adaptor_lr=training.adaptor_lr, discriminator_lr=training.discriminator_lr),
        )
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

    def run(self) -> TrainingResult:
        """Train until the recipe's number of epochs is reached, or until the watcher stops the run.

        Raises:
            InputError: features that cannot be whitened.
            GlassEdgeError: a loss that is no number.
        """
        try:
            if self._state is None:
                self._state = self._measure()
            config = step_config(self.recipe, self._state.spread)
            runner = EpochRunner(self.model, self._optimisers, self._synthesiser, config)
            while self._state.epoch < self.recipe.training.epochs:
                self._state = self._train_epoch(runner, self._state)
        except TrainingStopped:
            done = self._state
            return TrainingResult(done.epoch if done else 0, stopped=True, seconds=done.seconds if done else 0.0)
        return TrainingResult(self._state.epoch, stopped=False, seconds=self._state.seconds)

    def _measure(self) -> TrainingState:
        """Whiten by good cloth; the state before the first epoch."""
        self._watcher.begin("features of good cloth", None)
        gas = self.recipe.gas
        positional = gas.hypothesis == "hypersphere" and gas.centre == "positional"
        good = measure_good(self.model, self._data.train, positional=positional, tick=self._watcher.tick)
        if self.recipe.model.whiten:
            self.model.fit_whitening(good.moments)
        spread = spread_of_adapted(self.model.glass_head, good.moments)
        return TrainingState(0, 0.0, spread, good.mean, {}, {})

    def _train_epoch(self, runner: EpochRunner, before: TrainingState) -> TrainingState:
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
        seconds = time.monotonic() - started
        state = TrainingState(
            epoch,
            before.seconds + seconds,
            before.spread,
            before.mean,
            {name: tensor.detach().clone() for name, tensor in self.model.glass_head.state_dict().items()},
            copy.deepcopy(self._optimisers.state_dict()),  # it refers to the tensors that train on
        )
        record = EpochRecord(epoch, steps, seconds, **{name: total / steps for name, total in sums.items()})
        self._watcher.finished_epoch(record, self.model, state)
        return state


def fit_closed_form(recipe: Recipe, data: GoodData, watcher: TrainingWatcher) -> StyleModel:
    """The model of the method 'mahalanobis': one pass over good cloth, nothing trained.

    Raises:
        InputError: weights or images cannot be used.
        TrainingStopped: the watcher stopped the pass.
    """
    watcher.begin("features of good cloth", None)

    def tiles() -> Iterator[Tensor]:
        for batch in tile_batches(data.train, tile_shape(recipe), recipe.training.batch):
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
