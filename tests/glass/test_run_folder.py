"""What a killed process or a full disk leaves in a run folder: always the last good checkpoint, and a way on."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cloth import good_data, paint_good, recipe

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import sha256_file
from glass_edge.glass.checkpoint import load_checkpoint
from glass_edge.glass.data import GoodData
from glass_edge.glass.epoch_heads import is_kept, kept_epochs, load_epoch
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.run_folder import RunFolder, latest_run_folder
from glass_edge.glass.run_lock import run_lock
from glass_edge.glass.selection import Candidate, Selection
from glass_edge.glass.trainer_records import EpochRecord
from glass_edge.glass.trainer_state import TrainingState, load_state, recipe_digest

KILLED = 9
SMALL = {"name": "tf_efficientnet_lite0", "levels": (4,), "weights": "random"}


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    torch.set_num_threads(1)
    return recipe(paint_good(tmp_path / "good", size=(64, 64)), backbone=SMALL, training={"epochs": 6})


@pytest.fixture
def data(made: Recipe) -> GoodData:
    return good_data(made)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text("# as given\n")
    return path


def epoch_of(model: StyleModel, epoch: int) -> tuple[EpochRecord, TrainingState]:
    """The model changed as an epoch would have, its record and its state."""
    generator = torch.Generator().manual_seed(epoch)
    with torch.no_grad():
        model.glass_head.adaptor.bias.normal_(generator=generator)
    head = {name: tensor.clone() for name, tensor in model.glass_head.state_dict().items()}
    record = EpochRecord(epoch, 2, 0.5, 1.0 / epoch, 0.1, 0.2, 0.3, 0.9, 0.8)
    return record, TrainingState(epoch, epoch * 0.5, 1.0, torch.zeros(1, 24), head, {}, record.figures())


def keep(run: RunFolder, made: Recipe, data: GoodData, model: StyleModel, epoch: int) -> None:
    """All that is written after an epoch, as the command line does it."""
    record, state = epoch_of(model, epoch)
    run.keep_state(state, made, data, record)
    tiles = np.full((1, 64, 64, 1), epoch, np.uint8)
    run.keep(model, made, data, epoch=epoch, figures=state.figures, golden_tiles=tiles)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("environment.json", "training.lock")
    }


def test_a_kill_at_any_moment_of_writing_leaves_a_whole_checkpoint_and_a_way_on(
    tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path
) -> None:
    """Ends a process at every system call that makes a file appear or durable while the second epoch is kept."""
    model = build_model(made)
    reference = RunFolder(tmp_path / "reference")
    reference.start(recipe_file, data, threads=1)
    keep(reference, made, data, model, 1)
    shutil.copytree(reference.folder, tmp_path / "first")
    keep(reference, made, data, model, 2)
    wanted = contents(reference.folder)
    epochs = []
    for nth in range(1, 200):
        run = RunFolder(Path(shutil.copytree(tmp_path / "first", tmp_path / f"killed-{nth}")))
        if not _killed_at(nth, lambda run=run: keep(run, made, data, model, 2)):
            break
        found = load_checkpoint(run.folder)[2].epoch
        state = load_state(run.folder, made, data.fingerprint)
        assert found in (1, 2)
        assert state.epoch in (found, found + 1)
        epochs.append((state.epoch, found))
        again = RunFolder(run.folder)  # what a resumed run writes
        again.start(recipe_file, data, threads=1, resumed=True)
        keep(again, made, data, model, 2)
        assert contents(run.folder) == wanted
    assert len(epochs) > 12
    assert epochs == sorted(epochs)
    assert set(epochs) == {(1, 1), (2, 1), (2, 2)}


def _killed_at(nth: int, work: Callable[[], None]) -> bool:
    """Run `work` in a child that ends without a word at its nth fsync or rename; whether it came that far."""
    child = os.fork()
    if child == 0:
        left = nth

        def counted(call: Callable[..., object]) -> Callable[..., object]:
            def count(*arguments: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if not left:
                    os._exit(KILLED)
                return call(*arguments, **options)

            return count

        os.fsync, os.replace, os.rename = counted(os.fsync), counted(os.replace), counted(os.rename)  # type: ignore[assignment]
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def test_a_full_disk_at_any_write_keeps_the_last_good_checkpoint(
    tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(made)
    run = RunFolder(tmp_path / "run")
    run.start(recipe_file, data, threads=1)
    keep(run, made, data, model, 1)
    before = contents(run.checkpoint)
    failures: list[str] = []
    for nth in range(1, 200):
        left = nth

        def full(fd: int, sync: Callable[[int], None] = os.fsync) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                keep(run, made, data, model, 2)
            except GlassEdgeError as error:
                failures.append(str(error))
            else:
                break
        if load_checkpoint(run.folder)[2].epoch == 1:
            after = contents(run.checkpoint)
            assert {name: after[name] for name in before} == before
        assert not list(run.folder.rglob(".~*"))
        load_state(run.folder, made, data.fingerprint)
    assert len(failures) > 5
    for message in failures:
        assert "No space left on device" in message
        assert "the checkpoint of epoch 1 is whole" in message
        assert "--resume" in message
    assert load_checkpoint(run.folder)[2].epoch == 2


def test_each_epoch_has_a_line_and_an_epoch_done_again_replaces_its_own(
    tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path
) -> None:
    model = build_model(made)
    run = RunFolder(tmp_path / "run")
    run.start(recipe_file, data, threads=1)
    for epoch in (1, 2, 3, 2, 3):
        keep(run, made, data, model, epoch)
    with (run.folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["total"], row["selection"]) for row in rows] == [
        (str(epoch), str(1.0 / epoch), "") for epoch in (1, 2, 3)
    ]


@pytest.mark.parametrize(("epochs", "most"), [(5, 100), (5, 5), (6, 2), (640, 100), (7, 3), (1, 1), (3, 0)])
def test_kept_epochs_are_evenly_spread_and_hold_the_last(epochs: int, most: int) -> None:
    kept = [epoch for epoch in range(1, epochs + 1) if is_kept(epoch, epochs, most)]
    assert len(kept) <= most
    assert len(kept) * 2 >= min(epochs, most)
    assert not most or kept[-1] == epochs
    assert len({later - sooner for sooner, later in pairwise(kept)}) <= 1


def test_heads_of_epochs_come_back(tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path) -> None:
    model = build_model(made)
    run = RunFolder(tmp_path / "run")
    run.start(recipe_file, data, threads=1)
    heads = {}
    for epoch in (1, 2, 3):
        keep(run, made, data, model, epoch)
        heads[epoch] = {name: tensor.clone() for name, tensor in model.glass_head.state_dict().items()}
    assert kept_epochs(run.folder) == [1, 2, 3]
    loaded, _, info = load_checkpoint(run.folder)
    assert info.epoch == 3
    for epoch in (2, 1, 3):
        load_epoch(run.folder, loaded, epoch)
        assert all(torch.equal(tensor, heads[epoch][name]) for name, tensor in loaded.glass_head.state_dict().items())
    with pytest.raises(InputError, match=r"epochs/7\.pt: missing; kept are the epochs \[1, 2, 3\]"):
        load_epoch(run.folder, loaded, 7)
    file = run.folder / "epochs" / "2.pt"
    (run.folder / "epochs" / "1.pt").replace(file)
    with pytest.raises(InputError, match=r"2\.pt: not the head of epoch 2"):
        load_epoch(run.folder, loaded, 2)
    file.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"2\.pt: not the head of epoch 2"):
        load_epoch(run.folder, loaded, 2)
    other = RunFolder(tmp_path / "other")
    other.start(recipe_file, data, threads=1)
    keep(other, recipe(made.data.folder, backbone=SMALL, training={"epochs": 6, "batch": 7}), data, model, 2)
    (other.folder / "epochs" / "2.pt").replace(file)
    with pytest.raises(InputError, match=r"2\.pt: of another run"):
        load_epoch(run.folder, loaded, 2)


def test_what_a_run_killed_in_its_first_epoch_left_is_no_run(
    tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    run.start(recipe_file, data, threads=1)
    record, state = epoch_of(build_model(made), 1)
    run.keep_state(state, made, data, record)
    (run.folder / "training-state.pt").unlink()  # killed between the figures and the state
    (run.folder / ".~half.pt").write_bytes(b"half")
    run.require_new()
    run.start(recipe_file, data, threads=1)
    assert {path.name for path in run.folder.iterdir()} == {"recipe.toml", "data.json", "environment.json"}
    keep(run, made, data, build_model(made), 1)
    with pytest.raises(InputError, match="holds a training run already"):
        run.require_new()


def test_the_choice_and_the_strips_behind_it_are_recorded(
    tmp_path: Path, made: Recipe, data: GoodData, recipe_file: Path
) -> None:
    model = build_model(made)
    run = RunFolder(tmp_path / "run")
    choosing = data.train[:1]
    run.start(recipe_file, data, threads=1, selection=choosing)
    record, state = epoch_of(model, 1)
    best = Candidate(1, 0.75, state.head, {"selection": 0.75})
    state.selection = Selection(best, 1, 0.75)
    run.keep_state(state, made, data, record)
    run.keep(model, made, data, epoch=1, figures=best.figures, golden_tiles=None, selection=choosing)
    info = load_checkpoint(run.folder)[2]
    assert info.selection == (choosing[0].name,)
    assert info.metrics == {"selection": 0.75}
    assert json.loads((run.folder / "data.json").read_text())["selection"] == [choosing[0].name]
    loaded = load_state(run.folder, made, data.fingerprint)
    assert loaded.selection is not None
    assert (loaded.chosen.epoch, loaded.chosen.measure, loaded.stale_epochs) == (1, 0.75, 0)
    assert torch.equal(loaded.chosen.head["adaptor.bias"], best.head["adaptor.bias"])


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from glass_edge.glass.run_lock import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process trains in this folder"), run_lock(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    with run_lock(tmp_path):  # the lock died with its holder
        assert (tmp_path / "training.lock").exists()
    with (tmp_path / "training.lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and was given back


def test_the_newest_run_is_found_by_its_whole_style(tmp_path: Path) -> None:
    for name in ("twill-20250101T000000Z", "twill-20250301T000000Z", "twill-fine-20260101T000000Z", "twill-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training-state.pt").touch()
    assert latest_run_folder("twill", tmp_path).name == "twill-20250301T000000Z"
    assert latest_run_folder("twill-fine", tmp_path).name == "twill-fine-20260101T000000Z"
    with pytest.raises(InputError, match="no run of style 'satin'"):
        latest_run_folder("satin", tmp_path)


def test_a_run_is_continued_under_another_length_or_machine_but_not_another_recipe() -> None:
    def digest(training: dict[str, object], **tables: dict[str, object]) -> str:
        return recipe_digest(recipe(Path("cloth"), training=training, **tables))

    synthetic: dict[str, object] = {"select": "synthetic"}
    for changes in (
        {"epochs": 9, "keep_epochs": 3},
        {"threads": 3, "workers": 2, "device": "cpu"},
        {"tensorboard": True, "select_tiles": 9},
    ):
        assert digest(changes) == digest({})
    assert digest(synthetic | {"patience": 3, "patience_margin": 0.5}) == digest(synthetic)
    assert digest({"feature_cache": "disk"}) == digest({"feature_cache": "memory"})
    others = [{}, synthetic, synthetic | {"select_tiles": 9}, {"points": 5}, {"precision": "bfloat16"}, {"batch": 9}]
    others += [{"feature_cache": "disk"}, {"hard_quantile": 0.1}]
    assert len({digest(one) for one in others}) == len(others)
    blur: dict[str, object] = {"smoothing_sigma_px": 3.0}
    assert digest({}, inspection=blur) == digest({})
    assert digest(synthetic, inspection=blur) != digest(synthetic)
    assert digest(synthetic, inspection={"threshold_quantile": 0.5}) == digest(synthetic)
