"""The trainer choosing an epoch by held-out cloth: what it keeps, when it ends, and the same after a resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_cloth import good_data, paint_good, recipe
from training_watcher import Watcher

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.data import ClothStrip, GoodData
from glass_edge.glass.model import build_model
from glass_edge.glass.selection import SelectionScores, Selector
from glass_edge.glass.selection_tiles import split_for_selection
from glass_edge.glass.trainer import Trainer
from glass_edge.glass.trainer_records import TrainingResult
from glass_edge.glass.trainer_state import load_state, save_state

EPOCHS = 4
PLAIN: dict[str, Any] = {"model": {"prior": "none"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return paint_good(tmp_path / "good", count=5)


def choosing(folder: Path, training: dict[str, Any] | None = None, **tables: dict[str, Any]) -> Recipe:
    keys = {"select": "synthetic", "epochs": EPOCHS, "select_tiles": 6, **(training or {})}
    return recipe(folder, training=keys, **tables)


def divided(made: Recipe) -> tuple[GoodData, tuple[ClothStrip, ...]]:
    return split_for_selection(good_data(made), made.seed)


def run(made: Recipe, watcher: Watcher) -> TrainingResult:
    return Trainer(made, divided(made)[0], watcher, divided(made)[1]).run()


def test_every_epoch_is_measured_and_the_best_is_the_model(folder: Path) -> None:
    made = choosing(folder, {"select_tiles": 16, "discriminator_lr": 0.1, "adaptor_lr": 0.05})
    watcher = Watcher()
    result = run(made, watcher)
    assert [record.epoch for record in watcher.records] == [0, 1, 2, 3, 4]  # the prior alone is one to choose
    assert watcher.records[0].total is None
    measures = []
    for record, state in zip(watcher.records, watcher.states, strict=True):  # measured anew, from what was kept
        model = build_model(made)
        model.glass_head.load_state_dict(state.head)
        scores = Selector(model, divided(made)[1]).measure()
        assert record.selection == pytest.approx(scores.measure, abs=1e-6)
        assert record.selection_recall == pytest.approx(scores.recall, abs=1e-6)
        assert record.selection_partial == pytest.approx(scores.partial, abs=1e-6)
        measures.append(scores.measure)
        best = len(measures) - 1 - int(np.argmax(measures[::-1]))
        assert state.chosen.epoch == best
        assert state.chosen.figures["selection"] == pytest.approx(max(measures), abs=1e-6)
        assert all(torch.equal(tensor, watcher.states[best].head[name]) for name, tensor in state.chosen.head.items())
    assert len(set(measures)) > 1
    assert (result.epochs, result.ended, result.chosen) == (EPOCHS, "all epochs", watcher.states[-1].chosen.epoch)


def test_choosing_does_not_change_what_is_trained(folder: Path) -> None:
    made = choosing(folder, **PLAIN)
    chosen = Watcher()
    run(made, chosen)
    assert [record.epoch for record in chosen.records] == [1, 2, 3, 4]  # without a prior nothing is there to measure
    last = recipe(folder, training={"epochs": EPOCHS}, **PLAIN)
    plain = Watcher()
    Trainer(last, divided(made)[0], plain).run()
    for one, other in zip(chosen.states, plain.states, strict=True):
        assert all(torch.equal(tensor, other.head[name]) for name, tensor in one.head.items())
    assert plain.records[-1].selection is None
    assert plain.states[-1].chosen.epoch == EPOCHS


@pytest.mark.parametrize("stop_after", [1, 6])
def test_a_continued_run_chooses_as_an_uninterrupted_one(folder: Path, tmp_path: Path, stop_after: int) -> None:
    made = choosing(folder)
    data, selection = divided(made)
    straight = Watcher()
    whole = Trainer(made, data, straight, selection).run()
    stopped = Watcher(stop_after=straight.ticks[0] + stop_after)
    part = Trainer(made, data, stopped, selection).run()
    assert part.ended == "stopped"
    assert part.epochs < EPOCHS
    save_state(tmp_path, stopped.states[-1], made, data.fingerprint)
    resumed = Watcher()
    again = Trainer(made, data, resumed, selection)
    again.restore(load_state(tmp_path, made, data.fingerprint))
    result = again.run()
    assert (result.epochs, result.ended, result.chosen) == (whole.epochs, whole.ended, whole.chosen)
    records = [replace(one, seconds=0.0) for one in (*stopped.records, *resumed.records)]
    assert records == [replace(one, seconds=0.0) for one in straight.records]
    one, other = resumed.states[-1].chosen, straight.states[-1].chosen
    assert all(torch.equal(tensor, other.head[name]) for name, tensor in one.head.items())


def test_training_ends_when_nothing_improves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = iter([0.9, 0.5, 0.6, 0.605, 0.58, 0.61, 0.7])
    monkeypatch.setattr(Selector, "measure", lambda _: SelectionScores(next(measures), 0.0, 0.0))
    watcher = Watcher()
    made = choosing(folder, {"epochs": 6, "patience": 3, "patience_margin": 0.01})
    result = run(made, watcher)
    # the mark is epoch 2 with 0.6: 3, 4 and 5 are no more than 0.01 better; the prior's 0.9 is no mark, yet the best
    assert (result.epochs, result.ended, result.chosen) == (5, "no improvement", 0)
    assert [state.stale_epochs for state in watcher.states] == [0, 0, 0, 1, 2, 3]
    again = Trainer(
        choosing(folder, {"epochs": 6, "patience": 3, "patience_margin": 0.01}), good_data(choosing(folder)), Watcher()
    )
    assert again.has_ended(watcher.states[-1])
    patient = Trainer(choosing(folder, {"epochs": 6, "patience": 4}), good_data(made), Watcher())
    assert not patient.has_ended(watcher.states[-1])


def test_strips_that_choose_are_needed(folder: Path) -> None:
    made = choosing(folder)
    with pytest.raises(InputError, match="no good image"):
        Trainer(made, good_data(made), Watcher()).run()


def test_patience_without_a_choice_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match='patience needs select = "synthetic"'):
        recipe(folder, training={"patience": 3})
