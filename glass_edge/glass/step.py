"""One training step of GLASS on given features.

Promises: the published order of passes ([normal; synthetic] last, then the features of the synthetic images alone), so
losses, gradients, optimiser steps and BatchNorm statistics are reproducible number by number; what is switched off has
neither a loss nor a pass; nothing random happens here.

Source: Chen et al., ECCV 2024, and the behaviour of the authors' program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from glass_edge.glass.folded_step import can_fold, folded_scores
from glass_edge.glass.gas import GasConfig, Hypothesis, Observer, ascend
from glass_edge.glass.losses import focal_terms, hard_points, mean_bce
from glass_edge.glass.networks import Head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.spheres import Spheres


@dataclass(frozen=True, slots=True)
class StepConfig:
    """Constants of a step.

    Attributes:
        gas: constants of the feature-space synthesis.
        hard_quantile: quantile of squared errors from which on points enter the focal loss; 0: all.
        focal_gamma: focusing exponent.
        focal_smoothing: see `losses.focal_terms`.
        clamp_focal: see `losses.focal_terms`; False as published.
        gaussian_weight: weight of the term of GAS in the total; 1 as published.
        with_gas: synthetic points among the features count; without them the normal points pass alone.
        with_las: synthetic images count.
    """

    gas: GasConfig = field(default_factory=GasConfig)
    hard_quantile: float = 0.5
    focal_gamma: float = 2.0
    focal_smoothing: float = 1e-5
    clamp_focal: bool = False
    gaussian_weight: float = 1.0
    with_gas: bool = True
    with_las: bool = True


@dataclass(slots=True)
class StepInput:
    """Features of one batch, already whitened where the head whitens.

    Attributes:
        normal: (n, d) of the good images, points ordered image, row, column.
        synthetic: (m, d) of images with synthetic defects; not looked at without LAS.
        mask: bool (m,), where the synthetic defects are.
        noise: (n, d), or (len(selection), d), of `gas.draw_noise`; not looked at without GAS.
        centre: adapted centre, (positions, d) with positions dividing n and m, or (1, d) for one pooled centre; the
            manifold does without (then no radii are logged).
        selection: indices (k,) into the normal points: the pass of normal and synthetic points runs on these alone;
            None: on all, as published.
        synthetic_selection: the same for the points of the synthetic images and their mask.
    """

    normal: Tensor
    synthetic: Tensor
    mask: Tensor
    noise: Tensor
    centre: Tensor | None = None
    selection: Tensor | None = None
    synthetic_selection: Tensor | None = None

    @property
    def chosen_normal(self) -> Tensor:
        """Normal points that are used, (k, d)."""
        return _pick(self.normal, self.selection)

    @property
    def chosen_synthetic(self) -> Tensor:
        """Points of synthetic images that are used, (k, d)."""
        return _pick(self.synthetic, self.synthetic_selection)

    @property
    def chosen_mask(self) -> Tensor:
        """Their mask, bool (k,)."""
        return _pick(self.mask, self.synthetic_selection)


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The loss with its gradient, and what is logged (tensors without gradient, so nothing waits for the device).

    Attributes:
        total, normal, gaussian, focal: scalars; total is their (weighted) sum; 0 for what is switched off.
        hard_threshold: squared error from which on points entered the focal loss.
        n_hard: how many did.
        normal_right: share with a score below 0.5 of all normal points: those of the good images and those of the
            synthetic images where their mask is not set.
        anomalous_right: share with a score of at least 0.5 of all anomalous points: those of GAS and those of the
            synthetic images where their mask is set.
        radius, radius_gaussian, radius_las: quantile distances to the centre: of all normal points; of the points of
            GAS before their last projection; of the masked features before theirs. None without a centre (or without
            masked points).
    """

    total: Tensor
    normal: Tensor
    gaussian: Tensor
    focal: Tensor
    hard_threshold: Tensor
    n_hard: Tensor
    normal_right: Tensor
    anomalous_right: Tensor
    radius: Tensor | None
    radius_gaussian: Tensor | None
    radius_las: Tensor | None


def compute_losses(head: Head, batch: StepInput, config: StepConfig, observe: Observer | None = None) -> StepLosses:
    """Forward part of a step; call `.total.backward()` on the result.

    Args:
        head: adaptor and discriminator, in train mode.
        batch: features.
        config: constants.
        observe: receives intermediate tensors by name: normal, synthetic, ascent_<t>, gaussian, las_features,
            scores_normal, scores_gaussian, scores_las. Without it adaptor and hidden layer are folded where they can
            be, which changes the rounding.

    Raises:
        ValueError: shapes that do not fit, or a hypersphere without centre.
    """
    if observe is None and batch.centre is None and can_fold(head, config.gas):
        scores = _folded(head, batch, config)
    else:
        scores = _scores_of(head, batch, config, observe if observe is not None else _ignore)
    mask = batch.chosen_mask if config.with_las else batch.mask[:0]
    nothing = scores.normal.new_zeros(())
    loss_normal = mean_bce(scores.normal, 0.0)
    loss_gaussian = mean_bce(scores.gaussian, 1.0) if config.with_gas else nothing
    loss_focal, threshold, n_hard = nothing, nothing, torch.zeros((), dtype=torch.int64, device=nothing.device)
    if config.with_las:
        loss_focal, threshold, n_hard = _hard_focal(scores.las, mask, config)
    return StepLosses(
        total=loss_normal + config.gaussian_weight * loss_gaussian + loss_focal,
        normal=loss_normal.detach(),
        gaussian=loss_gaussian.detach(),
        focal=loss_focal.detach(),
        hard_threshold=threshold,
        n_hard=n_hard,
        normal_right=(torch.cat([scores.normal, scores.las[~mask]]).detach() < 0.5).float().mean(),
        anomalous_right=(torch.cat([scores.gaussian, scores.las[mask]]).detach() >= 0.5).float().mean(),
        radius=scores.radius,
        radius_gaussian=scores.radius_gaussian,
        radius_las=scores.radius_las,
    )


def training_step(
    head: Head,
    optimisers: Optimisers,
    batch: StepInput,
    config: StepConfig,
    observe: Observer | None = None,
) -> StepLosses:
    """Losses, one backward pass, both optimiser steps; gradients stay readable until the next step."""
    optimisers.zero_grad()
    losses = compute_losses(head, batch, config, observe)
    cast(Callable[[], None], losses.total.backward)()
    optimisers.step()
    return losses


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores of the three kinds of points, in [0, 1] and empty where there are none; radii as in `StepLosses`."""

    normal: Tensor
    gaussian: Tensor
    las: Tensor
    radius: Tensor | None = None
    radius_gaussian: Tensor | None = None
    radius_las: Tensor | None = None


def _scores_of(head: Head, batch: StepInput, config: StepConfig, note: Observer) -> _Scores:
    """All passes of a step, in the published order."""
    chosen, pasted, mask = batch.chosen_normal, batch.chosen_synthetic, batch.chosen_mask
    if not config.with_las:
        pasted, mask = pasted[:0], mask[:0]
    if config.with_gas and batch.noise.shape != chosen.shape:
        raise ValueError(f"noise {tuple(batch.noise.shape)} does not fit the normal points {tuple(chosen.shape)}")
    z: Tensor = head.adaptor(chosen)
    y: Tensor = head.adaptor(pasted)
    note("normal", z)
    note("synthetic", y)
    spheres = _measure(z, y, mask, batch, config)
    gaussian, radius_gaussian = z[:0], None
    if config.with_gas:
        ascended = ascend(
            head.discriminator,
            z,
            batch.noise,
            config.gas,
            centre=spheres.centre_normal,
            radius=spheres.radius,
            whitened=chosen,
            observe=None if note is _ignore else note,
        )
        gaussian = ascended.points
        radius_gaussian = spheres.quantile_to_centre(ascended.before_last_projection, config.gas.radius_quantile)
    note("gaussian", gaussian)
    # a prior on the features before the adaptor gets them moved as far as those behind it were
    is_moved_before = head.discriminator.takes_whitened
    with_gas = len(gaussian)
    before = torch.cat([chosen, chosen[:with_gas] + (gaussian - z[:with_gas])]) if is_moved_before else None
    pair = _pass(head, torch.cat([z, gaussian]), before)
    las = spheres.project_las(y, mask, config.gas)
    note("las_features", las)
    before = pasted + (las - y) if is_moved_before else None
    pasted_scores = _pass(head, las, before) if config.with_las else pair[:0]
    scores = _Scores(pair[: len(z)], pair[len(z) :], pasted_scores, spheres.radius, radius_gaussian, spheres.radius_las)
    note("scores_normal", scores.normal)
    note("scores_gaussian", scores.gaussian)
    note("scores_las", scores.las)
    return scores


def _folded(head: Head, batch: StepInput, config: StepConfig) -> _Scores:
    """The same scores without adapted features."""
    pasted = batch.chosen_synthetic if config.with_las else None
    noise = batch.noise if config.with_gas else None
    return _Scores(*folded_scores(head, batch.chosen_normal, pasted, noise, config.gas))


def _pass(head: Head, points: Tensor, whitened: Tensor | None) -> Tensor:
    return cast(Tensor, head.discriminator(points, whitened)).sigmoid()


def _hard_focal(scores: Tensor, mask: Tensor, config: StepConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Mean focal loss of the hard points, the threshold from which on they are hard, and how many are."""
    targets = mask.to(scores.dtype)
    hard, threshold = hard_points(scores, targets, config.hard_quantile)
    terms = focal_terms(
        scores[hard],
        targets[hard],
        gamma=config.focal_gamma,
        smoothing=config.focal_smoothing,
        clamp=config.clamp_focal,
    )
    return terms.mean(), threshold, hard.sum()


def _measure(z: Tensor, y: Tensor, mask: Tensor, batch: StepInput, config: StepConfig) -> Spheres:
    if batch.centre is None:
        if config.gas.hypothesis is Hypothesis.HYPERSPHERE:
            raise ValueError("the hypersphere needs a centre")
        return Spheres()
    centre = batch.centre.detach()
    of_normal = _pick(_each_point(centre, len(batch.normal)), batch.selection)
    of_synthetic = y
    if config.with_las:
        of_synthetic = _pick(_each_point(centre, len(batch.synthetic)), batch.synthetic_selection)
    return Spheres.measure(z, y, mask, (of_normal, of_synthetic), config.gas.radius_quantile)


def _each_point(centre: Tensor, count: int) -> Tensor:
    """The centre of each of `count` points of whole images, (count, d)."""
    if count % len(centre):
        raise ValueError(f"a centre of {len(centre)} positions does not fit {count} points of whole images")
    return centre.repeat(count // len(centre), 1)


def _pick(values: Tensor, selection: Tensor | None) -> Tensor:
    return values if selection is None else values[selection]


def _ignore(name: str, tensor: Tensor) -> None:
    """Observe nothing."""
