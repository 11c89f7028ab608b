"""What a worker of a cluster checks, and what each recipe gets of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_styles import tiny_style

from glass_edge.cli.ray_resources import Machine, Share, machines_of, share_of, slots
from glass_edge.cli.ray_task import Board, Event, Order, named_paths, require_paths, train_on_worker
from glass_edge.cli.train_jobs import TrainingJob
from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.config.recipe_training import TrainingSettings
from glass_edge.errors import InputError
from glass_edge.files import sha256_file

MACHINES = st.lists(
    st.builds(Machine, st.integers(1, 24), st.integers(0, 4).map(float)),
    min_size=1,
    max_size=4,
)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    file = tiny_style(tmp_path, "satin", epochs=1)
    folder = tmp_path / "run"
    folder.mkdir()
    return Order(TrainingJob(file, load_recipe(file), folder, resume=False), sha256_file(file))


def handle(board: Board) -> SimpleNamespace:
    """The part of Ray's handle of an actor that a worker uses."""
    return SimpleNamespace(report=SimpleNamespace(remote=board.report))


def test_what_this_machine_does_not_see_is_named(order: Order, tmp_path: Path) -> None:
    require_paths(order)
    job = order.job
    for missing in ("run", "satin", "satin.toml"):
        (tmp_path / missing).rename(tmp_path / "away")
        with pytest.raises(InputError, match=rf"{tmp_path / missing}: not there; .* same path on every machine"):
            require_paths(order)
        (tmp_path / "away").rename(tmp_path / missing)
    job.recipe_file.write_text(job.recipe_file.read_text() + "# another\n")
    with pytest.raises(InputError, match=r"satin\.toml: not the file of the machine that gave the order"):
        require_paths(order)


def test_every_path_of_a_recipe_is_checked(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "data": {"folder": tmp_path / "cloth", "foreground": str(tmp_path / "fg")},
            "backbone": {"name": "resnet18", "levels": [8], "weights": str(tmp_path / "w.pth")},
            "las": {"textures": str(tmp_path / "dtd")},
        }
    )
    assert {path.name for path in named_paths(recipe)} == {"cloth", "fg", "w.pth", "dtd"}


def test_a_task_that_is_tried_again_finds_its_work_done(order: Order) -> None:
    board = Board()
    first = train_on_worker(order, handle(board))
    assert (first.ending, first.document["epochs"]) == ("done", 1)
    events = board.take()
    assert events[0].kind == "began"
    assert any(event.kind == "said" and event.text.startswith("epoch 1:") for event in events)
    assert Event("satin", "phase", "epoch 1 of 1", total=2) in events
    assert board.take() == []
    assert train_on_worker(order, handle(board)).text == "was finished before"

    more = order.job.recipe.model_copy(update={"training": order.job.recipe.training.model_copy(update={"epochs": 2})})
    longer = train_on_worker(replace(order, job=replace(order.job, recipe=more)), handle(board))
    assert (longer.ending, longer.document["epochs"]) == ("done", 2)
    assert any(event.text == "continuing after epoch 1" for event in board.take())


def test_a_closed_form_that_was_fitted_before_its_worker_died_is_not_refused(order: Order) -> None:
    recipe = order.job.recipe
    fitted = recipe.model_copy(update={"training": recipe.training.model_copy(update={"method": "mahalanobis"})})
    order = replace(order, job=replace(order.job, recipe=fitted))
    assert train_on_worker(order, handle(Board())).text == "fitted in closed form"
    (order.job.run_folder / "training.json").unlink()
    assert train_on_worker(order, handle(Board())).ending == "done"


def test_an_error_comes_back_as_an_outcome_with_the_machine(order: Order) -> None:
    outcome = train_on_worker(replace(order, version="0.0.0"), handle(Board()))
    assert outcome.ending == "failed"
    assert outcome.text.startswith(f"on {outcome.machine}: glass-edge ")
    assert "install one version" in outcome.text


def test_machines_are_those_alive_with_a_core_to_give() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 4.0}},
    ]
    assert machines_of(nodes) == [Machine(8, 2.0)]


@given(MACHINES, st.integers(1, 12))
def test_as_many_recipes_run_at_once_as_can_with_as_many_cores_as_that_leaves(
    machines: list[Machine], n_recipes: int
) -> None:
    share = share_of(TrainingSettings(), machines, n_recipes)
    can = sum(min(one.cpus, int(one.gpus)) if share.gpus else one.cpus for one in machines)
    assert slots(machines, share) >= min(n_recipes, can)
    larger = Share(share.cpus + 1, share.gpus)
    assert slots(machines, larger) < min(n_recipes, can)


def packed(machines: list[Machine], share: Share) -> int:
    """Recipes that fit, placed one after the other."""
    count = 0
    for one in machines:
        cpus, cards = one.cpus, one.gpus
        while cpus >= share.cpus and cards >= share.gpus:
            cpus, cards, count = cpus - share.cpus, cards - share.gpus, count + 1
    return count


@given(MACHINES, st.integers(1, 24), st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]))
def test_slots_are_what_fits(machines: list[Machine], cpus: int, gpus: float) -> None:
    assert slots(machines, Share(cpus, gpus)) == packed(machines, Share(cpus, gpus))


@pytest.mark.parametrize(
    ("training", "machines", "expected"),
    [
        ({"threads": 3}, [Machine(8, 0)], Share(3, 0)),
        ({"threads": 3, "device": "cpu"}, [Machine(8, 2)], Share(3, 0)),
        ({"threads": 3}, [Machine(8, 2)], Share(3, 1)),
        ({"threads": 3, "device": "cuda"}, [Machine(8, 0), Machine(4, 1)], Share(3, 1)),
    ],
)
def test_a_recipe_may_say_what_it_wants(training: dict[str, object], machines: list[Machine], expected: Share) -> None:
    assert share_of(TrainingSettings.model_validate(training), machines, 2) == expected


def test_what_no_machine_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"9 cores and 0 graphics cards a recipe: no machine .*8 cores and 1 graphics"):
        share_of(TrainingSettings(), [Machine(8, 1)], 1, cpus=9, gpus=0)
    with pytest.raises(InputError, match="1 graphics cards a recipe"):
        share_of(TrainingSettings(device="cuda"), [Machine(8, 0)], 1)
    with pytest.raises(InputError, match="no cores at all"):
        share_of(TrainingSettings(), [], 1)
