"""Bootstrap intervals against SciPy's bootstrap and scikit-learn's weighted figures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, roc_auc_score

from glass_edge.glass.metrics_bootstrap import ImageSample, _Ranked, bootstrap_intervals


def samples(seed: int, good: int, defective: int) -> list[ImageSample]:
    rng = np.random.default_rng(seed)
    made = []
    for index in range(good + defective):
        is_defective = index >= good
        labels = rng.random(12) < 0.3 if is_defective else np.zeros(12, np.bool_)
        scores = np.round(rng.normal(size=12) + 1.2 * labels, 1)
        regions = int(rng.integers(1, 5)) if is_defective else 0
        made.append(
            ImageSample(
                score=float(scores.max()),
                is_defective=is_defective,
                tile_scores=scores,
                tile_labels=labels,
                regions=regions,
                regions_found=int(rng.integers(0, regions + 1)),
                false_alarms=int(rng.poisson(0.8)),
            )
        )
    return made


def test_figures_of_copied_images_are_those_of_scikit_learn_with_weights() -> None:
    images = samples(0, 6, 9)
    scores = np.concatenate([image.tile_scores for image in images])
    labels = np.concatenate([image.tile_labels for image in images])
    owners = np.repeat(np.arange(len(images)), 12)
    ranked = _Ranked(scores, labels, owners)
    rng = np.random.default_rng(1)
    for _ in range(20):
        copies = rng.integers(0, 3, len(images))
        auroc, ap = ranked.figures(copies)
        weights = copies[owners]
        assert auroc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
        assert ap == pytest.approx(average_precision_score(labels, scores, sample_weight=weights), abs=1e-12)


def beaten(defects: NDArray[np.float64], good: NDArray[np.float64]) -> float:
    """AUROC, pair by pair."""
    difference = defects[:, None] - good
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_intervals_agree_with_scipys_bootstrap() -> None:
    images = samples(2, 25, 30)
    ours = bootstrap_intervals(images, draws=4000)
    good = np.arange(25)
    defective = np.arange(25, 55)

    def tile_auroc(drawn_good: NDArray[np.intp], drawn_defective: NDArray[np.intp]) -> float:
        drawn = [images[index] for index in (*drawn_good, *drawn_defective)]
        scores = np.concatenate([image.tile_scores for image in drawn])
        labels = np.concatenate([image.tile_labels for image in drawn])
        return beaten(scores[labels], scores[~labels])

    def image_auroc(drawn_good: NDArray[np.intp], drawn_defective: NDArray[np.intp]) -> float:
        scores = np.array([image.score for image in images])
        return beaten(scores[drawn_defective], scores[drawn_good])

    for name, figure in (("tile_auroc", tile_auroc), ("image_auroc", image_auroc)):
        theirs = bootstrap(
            (good, defective), figure, n_resamples=1500, vectorized=False, method="percentile", random_state=3
        ).confidence_interval
        assert ours[name].low == pytest.approx(theirs.low, abs=0.015)
        assert ours[name].high == pytest.approx(theirs.high, abs=0.015)


def test_counts_have_the_spread_of_their_strips() -> None:
    images = samples(4, 40, 40)
    found = bootstrap_intervals(images, draws=4000)
    alarms = np.array([image.false_alarms for image in images[:40]])
    error = alarms.std() / np.sqrt(40)
    interval = found["false_alarms_per_good_strip"]
    assert interval.low == pytest.approx(alarms.mean() - 1.96 * error, abs=0.06)
    assert interval.high == pytest.approx(alarms.mean() + 1.96 * error, abs=0.06)
    recall = sum(image.regions_found for image in images) / sum(image.regions for image in images)
    assert found["region_recall"].low < recall < found["region_recall"].high


def test_the_same_images_give_the_same_intervals_and_one_class_gives_none() -> None:
    images = samples(5, 4, 6)
    assert bootstrap_intervals(images) == bootstrap_intervals(images)
    assert bootstrap_intervals(images) != bootstrap_intervals(images, seed=1)
    assert bootstrap_intervals(images[:4]) == {}
    assert bootstrap_intervals(images[4:]) == {}
    assert bootstrap_intervals([]) == {}


def test_what_no_draw_defines_is_left_out() -> None:
    images = [ImageSample(float(n), n > 1, np.array([float(n)]), np.array([False]), int(n > 1), 1, 0) for n in range(4)]
    found = bootstrap_intervals(images)  # no tile shows a defect
    assert {"tile_auroc", "tile_ap"}.isdisjoint(found)
    assert (found["image_auroc"].low, found["image_auroc"].high) == (1.0, 1.0)
