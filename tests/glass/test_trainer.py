from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_cloth import PUBLISHED, TABLES, good_data, paint_good, recipe
from torch import Tensor
from training_watcher import Watcher

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.gas import Hypothesis
from glass_edge.glass.mahalanobis import inner_points
from glass_edge.glass.metrics import auroc
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer import Trainer, fit_closed_form
from glass_edge.glass.trainer_features import measure_good, spread_of_adapted, tile_batches, tile_shape
from glass_edge.glass.trainer_state import load_state, save_state
from glass_edge.glass.trainer_step import step_config

ONE_EPOCH: dict[str, Any] = {"training": {"epochs": 1}}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_good(tmp_path / "good")


def run(made: Recipe, watcher: Watcher | None = None) -> tuple[Trainer, Watcher]:
    seen = watcher or Watcher()
    trainer = Trainer(made, good_data(made), seen)
    trainer.run()
    return trainer, seen


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_learns_to_tell_synthetic_defects_from_cloth(tmp_path: Path) -> None:
    made = recipe(
        paint_good(tmp_path, noise=1.5),
        backbone={"name": "tf_efficientnet_lite0", "levels": (4,), "weights": "package"},
        training={"epochs": 5, "samples_per_epoch": 24, "discriminator_lr": 5e-3, "adaptor_lr": 1e-3},
        model={"prior": "none", "level_width": 0, "width": 0, "hidden": 32},
        las={"source": "perlin"},
        gas={"points": 128},
    )
    data = good_data(made)
    sampler = CropSampler(data.holdout, tile_shape(made), selvedge_share=0, seed=7)
    batch = Synthesiser(made, sampler).batch(9, 0, 0, size=24)

    def separation(trainer: Trainer) -> float:
        assert batch.synthetic is not None
        assert batch.mask is not None
        with torch.no_grad():
            logits = trainer.model.head(inner_points(trainer.model, torch.from_numpy(batch.synthetic)))
        return auroc(logits.numpy(), batch.mask.reshape(-1))

    trainer = Trainer(made, data, Watcher())
    before = separation(trainer)
    trainer.run()
    assert separation(trainer) > max(0.65, before + 0.1)  # defects of a few grey levels: much more needs more epochs


def test_weave_of_the_grid_s_period_is_measured_in_every_phase(folder: Path) -> None:
    made = recipe(folder)  # its weave repeats every 8 px, the stride of the scores
    data = good_data(made)
    trainer = Trainer(made, data, Watcher())
    trainer.model.fit_whitening(measure_good(trainer.model, data.train, positional=False, tick=lambda: None).moments)
    sampler = CropSampler(data.train, tile_shape(made), selvedge_share=0, seed=5)
    tiles = np.stack([sampler.draw(sampler.generator(1, 1, index)) for index in range(32)])
    with torch.no_grad():
        white = trainer.model.glass_head.whiten(inner_points(trainer.model, torch.from_numpy(tiles)))
    assert white.square().mean() == pytest.approx(1, abs=0.4)


def test_a_run_is_repeatable_and_depends_on_its_seed(folder: Path) -> None:
    heads = [run(recipe(folder, **ONE_EPOCH))[1].states[0].head for _ in range(2)]
    assert equal(*heads)
    data = {"data": {"folder": folder}, "seed": 1}
    other = Recipe.model_validate({**recipe(folder, **ONE_EPOCH).model_dump(), **data})
    assert not equal(heads[0], run(other)[1].states[0].head)


VARIED: dict[str, Any] = {
    "augment": {"rotation_deg": 1, "gain": 0.1, "noise_sigma": 2},
    "training": {**TABLES["training"], "workers": 3},
}
CACHED: dict[str, Any] = {"training": {**TABLES["training"], "feature_cache": "disk", "points": 40}}


@pytest.mark.parametrize("tables", [{}, PUBLISHED, VARIED, CACHED], ids=["whitened", "published", "varied", "cached"])
def test_a_continued_run_equals_an_uninterrupted_one(folder: Path, tmp_path: Path, tables: dict[str, Any]) -> None:
    made = recipe(folder, **tables)
    data = good_data(made)
    straight = run(made)[1]
    stopped = Watcher(stop_after=straight.ticks[0] + straight.ticks[1] + 1)  # in the second epoch
    trainer = Trainer(made, data, stopped)
    result = trainer.run()
    assert (result.stopped, result.epochs) == (True, 1)
    assert len(stopped.states) == 1

    save_state(tmp_path, stopped.states[0], made, data.fingerprint)
    resumed = Watcher()
    again = Trainer(made, data, resumed)
    again.restore(load_state(tmp_path, made, data.fingerprint))
    assert again.run().epochs == 2
    assert equal(resumed.states[0].head, straight.states[1].head)
    losses = [{**watcher.records[-1].row(), "seconds": 0} for watcher in (resumed, straight)]
    assert losses[0] == losses[1]


def test_states_of_another_recipe_or_other_images_are_refused(folder: Path, tmp_path: Path) -> None:
    made = recipe(folder, **ONE_EPOCH)
    _, watcher = run(made)
    save_state(tmp_path, watcher.states[0], made, "0" * 64)
    longer = recipe(folder, training={"epochs": 9})
    assert load_state(tmp_path, longer, "0" * 64).epoch == 1
    with pytest.raises(InputError, match="recipe was changed"):
        load_state(tmp_path, recipe(folder, training={"batch": 4}), "0" * 64)
    with pytest.raises(InputError, match="images were changed"):
        load_state(tmp_path, made, "1" * 64)
    state = tmp_path / "training-state.pt"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a training state"):
        load_state(tmp_path, made, "0" * 64)
    state.unlink()
    with pytest.raises(InputError, match="without --resume"):
        load_state(tmp_path, made, "0" * 64)


def test_whitened_good_cloth_has_mean_zero_and_covariance_one(folder: Path) -> None:
    made = recipe(folder, model={"shrinkage": 0.0}, **ONE_EPOCH)
    data = good_data(made)
    trainer = Trainer(made, data, Watcher())
    good = measure_good(trainer.model, data.train, positional=True, tick=lambda: None)
    batches = tile_batches(data.train, tile_shape(made), 3)
    points = torch.cat([inner_points(trainer.model, tiles) for tiles in batches]).double()
    assert np.allclose(good.moments.mean, points.mean(0), atol=1e-6)
    assert torch.allclose(good.mean.double(), points.view(-1, 16, points.shape[1]).mean(0), atol=1e-6)
    trainer.model.fit_whitening(good.moments)
    with torch.no_grad():
        white = trainer.model.glass_head.whiten(points.float())
    assert torch.allclose(white.mean(0), torch.zeros(24), atol=2e-3)
    assert torch.allclose(torch.cov(white.T), torch.eye(24), atol=5e-3)
    assert spread_of_adapted(trainer.model.glass_head, good.moments) == pytest.approx(1, abs=1e-3)


def test_relative_lengths_scale_with_the_spread_of_the_features(folder: Path) -> None:
    gas = {"noise_sigma": 0.5, "step_length": 0.1, "band_low": 0.4, "band_high": 0.9}
    config = step_config(recipe(folder, gas=gas), 3.0).gas
    length = 3.0 * 24**0.5
    assert config.noise_sigma == pytest.approx(1.5)
    assert config.step_length == pytest.approx(0.1 * length)
    assert config.manifold_band == pytest.approx((0.4 * length, 0.9 * length))
    sphere = step_config(recipe(folder, gas={**gas, "hypothesis": "hypersphere"}), 3.0).gas
    assert sphere.hypothesis is Hypothesis.HYPERSPHERE
    assert (sphere.sphere_band, sphere.las_sphere_band) == ((0.4, 0.9), (0.8, 1.8))


def test_published_constants_arrive_unchanged(folder: Path) -> None:
    config = step_config(recipe(folder, **{**PUBLISHED, "gas": {"relative": False}}), 3.0).gas
    assert (config.noise_sigma, config.step_length, config.manifold_band) == (0.015, 0.001, (0.5, 1.0))
    assert not config.full_steps
    sphere = step_config(recipe(folder, gas={"relative": False, "hypothesis": "hypersphere"}), 3.0).gas
    assert (sphere.sphere_band, sphere.las_sphere_band) == ((1.0, 2.0), (2.0, 4.0))


def test_reestimated_statistics_are_those_of_good_and_synthetic_points(folder: Path) -> None:
    made = recipe(folder, **ONE_EPOCH)
    data = good_data(made)
    watcher = Watcher()
    trainer = Trainer(made, data, watcher)
    trainer.run()
    head = trainer.model.glass_head
    sampler = CropSampler(data.train, tile_shape(made), selvedge_share=0.2, seed=0)
    synthesiser = Synthesiser(made, sampler)
    with torch.no_grad():
        values = []
        for step in range(2):
            batch = synthesiser.batch(2, 0, step)
            assert batch.synthetic is not None
            for tiles in (batch.good, batch.synthetic):
                points = inner_points(trainer.model, torch.from_numpy(tiles))
                values.append(head.discriminator.hidden(head.adaptor(head.whiten(points))))
        hidden = torch.cat(values)
    assert torch.allclose(head.discriminator.norm.running_mean, hidden.mean(0), atol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(head.discriminator.norm.running_var, hidden.var(0), rtol=1e-3)  # type: ignore[arg-type]


def test_a_loss_that_is_no_number_names_epoch_and_batch(folder: Path) -> None:
    made = recipe(folder, training={"discriminator_lr": 1.0, "adaptor_lr": 1.0, "epochs": 2})
    watcher = Watcher()
    trainer = Trainer(made, good_data(made), watcher)
    with torch.no_grad():
        trainer.model.glass_head.discriminator.output.weight.fill_(torch.nan)
    with pytest.raises(GlassEdgeError, match="epoch 1, batch 1: the loss is no number"):
        trainer.run()
    assert not watcher.states


def test_weights_that_are_no_numbers_are_not_kept(folder: Path) -> None:
    """A step's loss is finite and what it makes of the weights is not: no later step would tell."""
    made = recipe(folder, training={"epochs": 2, "keep_norm_statistics": "last"})
    watcher = Watcher()
    trainer = Trainer(made, good_data(made), watcher)
    step = trainer._optimisers.step
    steps = 0

    def overflow() -> None:
        nonlocal steps
        step()
        steps += 1
        if steps == 2 * trainer.steps_per_epoch:
            with torch.no_grad():
                trainer.model.glass_head.adaptor.bias[3] = torch.inf

    trainer._optimisers.step = overflow  # type: ignore[method-assign]
    with pytest.raises(GlassEdgeError, match=r"epoch 2, batch 2: adaptor\.bias holds values that are no numbers"):
        trainer.run()
    assert [state.epoch for state in watcher.states] == [1]


def test_nothing_to_learn_from_is_refused(folder: Path) -> None:
    made = recipe(folder, gas={"enabled": False}, las={"enabled": False})
    with pytest.raises(InputError, match=r"gas\.enabled and las\.enabled"):
        Trainer(made, good_data(made), Watcher()).run()


def test_a_run_stopped_before_its_first_epoch_kept_nothing(folder: Path) -> None:
    made = recipe(folder)
    watcher = Watcher(stop_after=1)
    result = Trainer(made, good_data(made), watcher).run()
    assert (result.stopped, result.epochs, watcher.states) == (True, 0, [])


def test_the_closed_form_scores_by_distance(folder: Path) -> None:
    made = recipe(folder, training={"method": "mahalanobis"}, model={"shrinkage": 0.0})
    data = good_data(made)
    model = fit_closed_form(made, data, Watcher())
    tiles = torch.cat(list(tile_batches(data.train, tile_shape(made), 3)))
    points = inner_points(model, tiles).double().numpy()
    inverse = np.linalg.inv(np.cov(points.T))
    centred = points - points.mean(0)
    expected = np.einsum("nd,de,ne->n", centred, inverse, centred) / points.shape[1]
    with torch.no_grad():
        logits = model.head(inner_points(model, tiles)).numpy()
    assert np.allclose(logits, expected, rtol=5e-3, atol=5e-3)
    assert logits.mean() == pytest.approx(1, abs=0.01)
