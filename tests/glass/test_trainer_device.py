from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cloth import PUBLISHED, good_data, paint_good, recipe
from training_watcher import Watcher

from glass_edge.errors import InputError
from glass_edge.glass.trainer import Trainer
from glass_edge.glass.trainer_device import products_in, training_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_a_graphics_card_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = paint_good(tmp_path)
    asked = recipe(folder, training={"device": "cuda"})
    with pytest.raises(InputError, match=r"training\.device = 'cuda': .*give 'auto' or 'cpu'"):
        training_device(asked)
    with pytest.raises(InputError, match=r"training\.device"):
        Trainer(asked, good_data(asked), Watcher())
    assert training_device(recipe(folder)) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_auto_takes_the_graphics_card(tmp_path: Path) -> None:
    assert training_device(recipe(tmp_path)).type == "cuda"
    assert training_device(recipe(tmp_path, training={"device": "cpu"})).type == "cpu"


def test_only_products_are_shortened() -> None:
    one = torch.ones(2, 3)
    for precision, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with products_in(precision, torch.device("cpu")):
            assert (one @ one.T).dtype is expected
            assert (one + one).dtype is torch.float32


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("tables", "tolerance"),
    # features have 8 bits of mantissa, and whitening enlarges the error of those that vary little
    [({}, 0.25), (PUBLISHED, 0.05)],
    ids=["whitened", "published"],
)
@pytest.mark.parametrize("ascent", ["features", "hidden"])
def test_bfloat16_comes_near_float32(
    tmp_path: Path, tables: dict[str, Any], tolerance: float, ascent: str, device: str
) -> None:
    folder = paint_good(tmp_path)
    found = []
    for precision in ("float32", "bfloat16"):
        training = {**tables.get("training", {}), "epochs": 1, "precision": precision, "device": device}
        made = recipe(folder, **{**tables, "gas": {**tables.get("gas", {}), "ascent": ascent}, "training": training})
        watcher = Watcher()
        trainer = Trainer(made, good_data(made), watcher)
        trainer.run()
        assert all(value.dtype is torch.float32 for value in trainer.model.glass_head.parameters())
        found.append(watcher.records[0])
    full, short = found
    assert short != full
    for name in ("normal", "gaussian", "focal"):
        assert getattr(short, name) == pytest.approx(getattr(full, name), rel=tolerance, abs=0.01), name
