"""GLASS trained the plain way, as a yardstick of speed: the published steps one after the other, nothing reused.

Everything is computed as the published program does it: the whole backbone up to its classifier, its maps caught by
hooks; patches unfolded, resized and pooled; every ascent step through both layers of the discriminator with autograd; a
pass over all good images before each epoch for the centre, which draws a synthetic image for each and throws it away.
Tiles, masks, noise and choices of points come from outside, so that losses can be compared number by number with those
of another implementation. Beside the published form there are whitened features and a Gaussian prior, plainly too.

Source: Chen et al., "A Unified Anomaly Synthesis Strategy with Gradient Ascent for Industrial Anomaly Detection and
Localization", ECCV 2024, and the behaviour of the authors' program. Nothing of `glass_edge` is used here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Tiles = NDArray[np.uint8]
"""(n, height, width, 1 or 3)."""


class Clock:
    """Seconds by name; what is counted under an inner name is not counted under the outer one.

    Attributes:
        seconds: by name.
        now: where they come from.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside under `name`."""
        started = self.now()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = self.now() - started
            self.seconds[name] += whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole


@dataclass(frozen=True, slots=True)
class PlainConfig:
    """Constants; the defaults are the published ones.

    Attributes:
        backbone: timm's name.
        levels: modules whose outputs are used, finest first.
        mean, std: of R, G, B, in units of 0..255.
        grey: tiles are scaled to this mean first; None: they are not.
        level_width, width: values after the first and the second pooling; 0: not pooled.
        n_features: values a point then has.
        finest_only: neighbourhoods of the finest level alone, cells of the others.
        hidden: width of the discriminator's hidden layer; 0: none, the prior alone is the discriminator.
        hypersphere: hypothesis; False: manifold.
        centre_pass: adapt all good images before each epoch; the manifold only logs what comes of it.
        halo_cells: border of the grid that is not used.
        ascent_steps, step_length, period, band: of the ascent (band: manifold).
        gaussian_weight: of the loss of the ascended points.
        hard_quantile: points of synthetic images below this quantile of squared error do not count.
        prior: initial alpha and beta of a Gaussian prior, or None.
        prior_is_adapted: it takes the features behind the adaptor, not those before it.
        adaptor_lr, discriminator_lr: learning rates.
    """

    backbone: str = "wide_resnet50_2"
    levels: tuple[str, ...] = ("layer2", "layer3")
    mean: tuple[float, ...] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    std: tuple[float, ...] = (0.229 * 255, 0.224 * 255, 0.225 * 255)
    grey: float | None = None
    level_width: int = 1536
    width: int = 1536
    n_features: int = 1536
    finest_only: bool = False
    hidden: int = 1024
    hypersphere: bool = False
    centre_pass: bool = True
    halo_cells: int = 0
    ascent_steps: int = 20
    step_length: float = 0.001
    period: int = 5
    band: tuple[float, float] = (0.5, 1.0)
    gaussian_weight: float = 1.0
    hard_quantile: float = 0.5
    prior: tuple[float, float] | None = None
    prior_is_adapted: bool = False
    adaptor_lr: float = 1e-4
    discriminator_lr: float = 2e-4


@dataclass(frozen=True, slots=True)
class PlainBatch:
    """What one step takes.

    Attributes:
        good, synthetic: tiles.
        mask: bool (n, rows, columns) of the cells inside the halo, True where a synthetic defect is.
        noise: (normal points used, n_features).
        chosen: the normal points used; None: all.
    """

    good: Tiles
    synthetic: Tiles
    mask: NDArray[np.bool_]
    noise: Tensor
    chosen: Tensor | None = None


class Discriminator(nn.Module):
    """Sigmoid of two layers, of a Gaussian prior, or of their sum."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.has_layers, self.prior_is_adapted = config.hidden > 0, config.prior_is_adapted
        if self.has_layers:
            self.hidden = nn.Linear(config.n_features, config.hidden)
            self.norm = nn.BatchNorm1d(config.hidden)
            self.output = nn.Linear(config.hidden, 1, bias=False)
            nn.init.xavier_normal_(self.hidden.weight)
            nn.init.xavier_normal_(self.output.weight)
        self.prior = None if config.prior is None else nn.Parameter(torch.tensor(config.prior))

    def forward(self, points: Tensor, white: Tensor) -> Tensor:
        """Scores (n,) of adapted points (n, n_features); `white` are those before the adaptor."""
        logits = points.new_zeros(len(points))
        if self.has_layers:
            logits = self.output(F.leaky_relu(self.norm(self.hidden(points)), 0.2))[:, 0]
        if self.prior is not None:
            taken = points if self.prior_is_adapted else white
            logits = logits + self.prior[0] * (taken.square().mean(dim=1) - self.prior[1])
        return torch.sigmoid(logits)


class PlainGlass:
    """One model in training.

    Attributes:
        backbone: the whole network.
        adaptor, discriminator: trained.
        optimisers: of both.
        whitening: mean (n_features,) and matrix, or None.
        clock: where the time went.
    """

    def __init__(self, config: PlainConfig, seed: int, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.whitening: tuple[Tensor, Tensor] | None = None
        torch.manual_seed(seed)
        self.backbone = timm.create_model(config.backbone, pretrained=False).eval()
        self._caught: dict[str, Tensor] = {}
        for name in config.levels:
            self.backbone.get_submodule(name).register_forward_hook(self._catch(name))
        self.adaptor = nn.Linear(config.n_features, config.n_features)
        nn.init.xavier_normal_(self.adaptor.weight)
        self.discriminator = Discriminator(config)
        weights = [value for name, value in self.discriminator.named_parameters() if name != "prior"]
        groups = [{"params": weights, "weight_decay": 0.01}] if weights else []
        if self.discriminator.prior is not None:
            groups.append({"params": [self.discriminator.prior], "weight_decay": 0.0})
        self.optimisers = (
            torch.optim.Adam(self.adaptor.parameters(), lr=config.adaptor_lr, weight_decay=1e-5),
            torch.optim.AdamW(groups, lr=config.discriminator_lr),
        )

    def _catch(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            del module, inputs
            self._caught[name] = output

        return hook

    def centre(self, images: Sequence[Tiles], spoil: Callable[[int], object]) -> Tensor:
        """Mean of the adapted features at each position, (positions, n_features).

        Args:
            images: all good images, in batches.
            spoil: draws the synthetic image of a good one, by number.
        """
        total, number = torch.zeros(()), 0
        with torch.no_grad(), self.clock("centre pass"):
            for tiles in images:
                for _ in tiles:
                    spoil(number)
                    number += 1
                points = self.adaptor(self._features(tiles, "centre pass", "centre pass"))
                total = total + points.reshape(len(tiles), -1, points.shape[1]).mean(dim=0)
        return total / len(images)

    def step(self, batch: PlainBatch, centre: Tensor | None = None) -> float:
        """One training step; returns its loss."""
        config, clock = self.config, self.clock
        good = self._features(batch.good, "backbone, good tiles", "features")
        synthetic = self._features(batch.synthetic, "backbone, synthetic tiles", "features")
        mask = torch.from_numpy(batch.mask.reshape(-1))
        if batch.chosen is not None:
            good = good[batch.chosen]
        self.adaptor.train()
        self.discriminator.train()
        with clock("adaptor, last pass, backward, optimisers"):
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            z, y = self.adaptor(good), self.adaptor(synthetic)
            centres = radius = None
            if centre is not None:
                centres = centre.repeat(len(z) // len(centre), 1)
                from_z, from_y = ((points.detach() - centres).norm(dim=1) for points in (z, y))
                radius = torch.quantile(torch.cat([from_y[~mask], from_z]), 0.75)
        with clock("ascent"):
            g = self._ascend(z, good, batch.noise, centres, radius)
        with clock("adaptor, last pass, backward, optimisers"):
            scores = self.discriminator(torch.cat([z, g]), torch.cat([good, good + (g - z)]))
            loss_normal = F.binary_cross_entropy(scores[: len(z)], torch.zeros(len(z)))
            loss_gaussian = F.binary_cross_entropy(scores[len(z) :], torch.ones(len(g)))
            if config.hypersphere:
                y = torch.where(mask[:, None], _project(y, centres, 2 * radius, 4 * radius), y)
            loss_focal = _focal(self.discriminator(y, synthetic), mask.float(), config.hard_quantile)
            loss = loss_normal + config.gaussian_weight * loss_gaussian + loss_focal
            loss.backward()
            for optimiser in self.optimisers:
                optimiser.step()
        return float(loss.detach())

    def predict(self, tiles: Tiles) -> NDArray[np.float32]:
        """Logits (n, rows, columns) of the finest grid inside the halo; networks in their evaluation mode."""
        with torch.no_grad():
            points = self._features(tiles, "backbone, good tiles", "features")
            scores = self.discriminator(self.adaptor(points), points)
            rows, columns = (
                side - 2 * self.config.halo_cells for side in self._caught[self.config.levels[0]].shape[-2:]
            )
            logits: NDArray[np.float32] = torch.logit(scores).view(len(tiles), rows, columns).numpy()
        return logits

    def _features(self, tiles: Tiles, backbone: str, features: str) -> Tensor:
        """Points (n * rows * columns, n_features), ordered image, row, column; the names are for the clock."""
        config = self.config
        with self.clock(backbone), torch.no_grad():
            planes = torch.from_numpy(tiles).permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1)
            if config.grey is not None:
                planes = planes * (config.grey / planes.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1))
            mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (config.mean, config.std))
            self.backbone((planes - mean) / std)
            maps = [self._caught[name] for name in config.levels]
        with self.clock(features), torch.no_grad():
            rows, columns = maps[0].shape[-2:]
            levels = []
            for level in maps:
                unfolded = level
                if level is maps[0] or not config.finest_only:
                    unfolded = F.unfold(level, 3, padding=1).view(len(level), -1, *level.shape[-2:])
                if level is not maps[0]:
                    unfolded = F.interpolate(unfolded, (rows, columns), mode="bilinear", align_corners=False)
                vectors = unfolded.permute(0, 2, 3, 1).reshape(len(level) * rows * columns, 1, -1)
                levels.append(F.adaptive_avg_pool1d(vectors, config.level_width) if config.level_width else vectors)
            points = torch.cat(levels, dim=2)
            points = F.adaptive_avg_pool1d(points, config.width) if config.width else points
            edge = config.halo_cells
            inside = points.view(len(tiles), rows, columns, -1)[:, edge : rows - edge, edge : columns - edge]
            points = inside.reshape(-1, config.n_features)
            return points if self.whitening is None else (points - self.whitening[0]) @ self.whitening[1].T

    def _ascend(self, z: Tensor, white: Tensor, noise: Tensor, centres: Tensor | None, radius: Tensor | None) -> Tensor:
        config = self.config
        g = z + noise
        for step in range(1, config.ascent_steps + 1):
            scores = self.discriminator(torch.cat([z, g]), torch.cat([white, white + (g - z)]))
            loss = F.binary_cross_entropy(scores[len(z) :], torch.ones(len(g)))
            (gradient,) = torch.autograd.grad(loss, g)
            with torch.no_grad():
                added = config.step_length * gradient / (gradient.norm(dim=1, keepdim=True) + 1e-10)
            g = g + added
            if step % config.period == 0:
                g = _project(g, centres, radius, 2 * radius) if config.hypersphere else _project(g, z, *config.band)
        return g


def _project(points: Tensor, base: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    offsets = points - base
    lengths = offsets.norm(dim=1, keepdim=True)
    return base + offsets * (lengths.clamp(low, high) / (lengths + 1e-10))


def _focal(scores: Tensor, targets: Tensor, quantile: float) -> Tensor:
    errors = (scores.detach() - targets).square()
    hard = errors >= torch.quantile(errors, quantile)
    two = torch.stack([1 - scores[hard], scores[hard]], dim=1)
    one_hot = F.one_hot(targets[hard].long(), 2).float().clamp(1e-5, 1 - 1e-5)
    right = (one_hot * two).sum(dim=1) + 1e-5
    return (-((1 - right) ** 2) * right.log()).mean()
