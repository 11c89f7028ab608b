"""The trainer against the plain implementation of the same specification in `benchmarks/plain_glass.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from glass_edge.config.recipe import Recipe
from glass_edge.glass.crops import TRAINING_STREAM, CropSampler
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.gas import draw_noise
from glass_edge.glass.model import build_model
from glass_edge.glass.optimisers import OptimiserConfig, Optimisers
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer_epoch import EpochRunner, noise_seed
from glass_edge.glass.trainer_features import measure_good, tile_shape
from glass_edge.glass.trainer_step import step_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BATCH, STEPS, PX, WIDTH, HIDDEN = 3, 4, 64, 48, 32


@pytest.fixture(scope="module")
def benchmark_modules() -> tuple[ModuleType, ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import plain_glass
        import training
    finally:
        sys.path.remove(str(BENCHMARKS))
    torch.set_num_threads(1)
    return plain_glass, training


def strips(training: ModuleType) -> list[ClothStrip]:
    case = training.Case({}, None, (PX, PX), 6, 3, {})
    painted: list[ClothStrip] = training.paint(case, 0)
    return painted


def recipe(hypothesis: str, ascent: str) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"folder": "."},
            "backbone": {"name": "resnet18", "levels": (8, 16), "weights": "random"},
            "tile": {"height_px": PX, "width_px": PX, "halo_px": 0, "channels": 3, "exposure": "camera"},
            "model": {
                "level_width": WIDTH,
                "width": WIDTH,
                "neighbours": "all",
                "hidden": HIDDEN,
                "adaptor": "xavier",
                "whiten": False,
                "prior": "none",
            },
            "gas": {
                "relative": False,
                "hypothesis": hypothesis,
                "centre": "positional",
                "ascent": ascent,
                "noise_sigma": 0.1,
            },
            "las": {"source": "perlin"},
            "training": {"batch": BATCH, "schedule": "constant", "adaptor_lr": 1e-3, "discriminator_lr": 2e-3},
        }
    )


@pytest.mark.parametrize("ascent", ["features", "hidden"])
@pytest.mark.parametrize("hypothesis", ["manifold", "hypersphere"])
def test_losses_and_weights_are_those_of_the_plain_program(
    benchmark_modules: tuple[ModuleType, ModuleType], hypothesis: str, ascent: str
) -> None:
    plain_glass, training = benchmark_modules
    images = strips(training)
    made = recipe(hypothesis, ascent)
    model = build_model(made)
    head = model.glass_head
    plain = plain_glass.PlainGlass(
        plain_glass.PlainConfig(
            backbone="resnet18",
            level_width=WIDTH,
            width=WIDTH,
            n_features=WIDTH,
            hidden=HIDDEN,
            hypersphere=hypothesis == "hypersphere",
            adaptor_lr=1e-3,
            discriminator_lr=2e-3,
        ),
        made.seed,
        plain_glass.Clock(time.perf_counter),
    )
    plain.backbone.load_state_dict(model.backbone.body.state_dict(), strict=False)
    plain.adaptor.load_state_dict(head.adaptor.state_dict())
    plain.discriminator.load_state_dict(head.discriminator.state_dict())

    synthesiser = Synthesiser(made, CropSampler(images, tile_shape(made), selvedge_share=0, seed=made.seed))
    rates = OptimiserConfig(adaptor_lr=1e-3, discriminator_lr=2e-3)
    runner = EpochRunner(model, Optimisers(head, rates), synthesiser, step_config(made, 1.0))
    mean = measure_good(model, images, positional=True, covariance=False, tick=lambda: None).mean
    tiles = np.stack([strip.pixels for strip in images])
    drawn: list[int] = []
    centre = plain.centre([tiles[:3], tiles[3:]], drawn.append)
    assert drawn == list(range(len(images)))  # a synthetic image for each, thrown away

    for step, values in enumerate(runner.steps(1, STEPS, mean)):
        batch = synthesiser.batch(TRAINING_STREAM, 1, step)
        generator = torch.Generator().manual_seed(noise_seed(made.seed, 1, step + 1))
        noise = draw_noise((BATCH * 64, WIDTH), 0.1, generator, torch.device("cpu"))
        expected = plain.step(plain_glass.PlainBatch(batch.good, batch.synthetic, batch.mask, noise), centre)
        assert values["total"] == pytest.approx(expected, abs=2e-5)
    assert torch.allclose(head.discriminator.output.weight, plain.discriminator.output.weight, atol=1e-5)
    assert torch.allclose(head.discriminator.norm.running_var, plain.discriminator.norm.running_var, rtol=1e-4)
    # Adam makes full steps of tiny gradients, whose sign may be rounding: a few entries may differ
    for own, theirs in (
        (head.adaptor.weight, plain.adaptor.weight),
        (head.discriminator.hidden.weight, plain.discriminator.hidden.weight),
    ):
        assert float(((own - theirs).abs() < 1e-4).float().mean()) > 0.99


def test_the_clock_counts_inner_parts_once(benchmark_modules: tuple[ModuleType, ModuleType]) -> None:
    now = iter([0.0, 1.0, 3.0, 10.0, 20.0, 25.0])
    clock = benchmark_modules[0].Clock(lambda: next(now))
    with clock("outer"), clock("inner"):
        pass
    with clock("inner"):
        pass
    assert clock.seconds == {"inner": 2.0 + 5.0, "outer": 8.0}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["published", "lite"])
def test_the_benchmark_runs_and_its_losses_agree(case: str) -> None:
    size = ["--image-px", "32", "--images", "2", "--batch", "2"] if case == "published" else ["--images", "2"]
    command = [sys.executable, str(BENCHMARKS / "training.py"), case, *size, "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    for name, form in result["forms"].items():
        assert sum(form["parts_s"].values()) == pytest.approx(form["epoch_s"], rel=1e-6), name
        if form["largest_loss_difference"] is not None:
            assert form["largest_loss_difference"] <= result["tolerance"]
