"""Seconds of a training epoch: this program against the same specification computed plainly (`plain_glass.py`).

    python benchmarks/training.py                 # the published GLASS on a WideResNet50, small images
    python benchmarks/training.py lite            # the default recipe on tiles of 256 x 512 px
    python benchmarks/training.py --json

Both train from the same weights on the same tiles, masks and noise, in turn, an epoch of the one and an epoch of the
other, in one process with as many threads. The losses of every step of the first round are compared and the program
fails if they differ by more than the tolerance it states. The WideResNet50 has random weights: speed does not depend on
them. Times are medians over the rounds after the first; what is done once for a run is told apart: maps of good tiles
for a cache, the measurement of good cloth, and in the first epoch the tiles of the BatchNorm statistics.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from plain_glass import Clock, PlainBatch, PlainConfig, PlainGlass

from glass_edge.config.recipe import Recipe
from glass_edge.config.recipe_training import TrainingSettings
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass import folded_step, step_inputs, trainer_epoch
from glass_edge.glass import step as step_module
from glass_edge.glass.crops import TRAINING_STREAM, CropSampler
from glass_edge.glass.data import ClothStrip, Pixels
from glass_edge.glass.feature_cache import FeatureCache
from glass_edge.glass.gas import draw_noise
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.optimisers import OptimiserConfig, Optimisers
from glass_edge.glass.preprocess import TILE_GREY
from glass_edge.glass.step import StepConfig
from glass_edge.glass.synthesis import Synthesiser, TrainingBatch
from glass_edge.glass.trainer import flushed_denormals, use_threads
from glass_edge.glass.trainer_epoch import EpochRunner, noise_seed
from glass_edge.glass.trainer_features import inner_grid, measure_good, spread_of_adapted, tile_shape
from glass_edge.glass.trainer_step import step_config

Given = ParamSpec("Given")
Made = TypeVar("Made")

TOLERANCE = 1e-3
"""Largest difference of the total loss of a step: float32, another order of sums, and Adam, whose steps do not shrink
with the gradients, from the first step on."""
LITE_BLOCKS = {2: "blocks.0", 4: "blocks.1", 8: "blocks.2", 16: "blocks.4"}
_DISCARDED_STREAM = 99
REST = "adaptor, last pass, backward, optimisers"
PARTS = (
    "centre pass",
    "synthesis",
    "backbone, good tiles",
    "backbone, synthetic tiles",
    "features",
    "ascent",
    REST,
    "other",
)


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained.

    Attributes:
        tables: of the recipe.
        plain: constants of the plain program; what depends on the data is filled in later.
        image_px: height and width of the good images.
        images: how many.
        channels: of them.
        forms: changes of the recipe by name, the plain program's opponents; with True if they compute the same losses.
    """

    tables: dict[str, Any]
    plain: PlainConfig
    image_px: tuple[int, int]
    images: int
    channels: int
    forms: dict[str, tuple[dict[str, dict[str, Any]], bool]]


@dataclass(slots=True)
class Form:
    """One contender.

    Attributes:
        epoch: trains the epoch of that number and returns the losses of its steps.
        clock: where its time went.
        is_equal: its losses are compared.
        prepared_s: what it takes before the first epoch of a run: filling the cache, measuring good cloth.
        seconds, parts, losses: a value an epoch.
    """

    epoch: Callable[[int], list[float]]
    clock: Clock
    is_equal: bool
    prepared_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)

    def run(self, number: int) -> None:
        """One more epoch."""
        self.clock.seconds.clear()
        started = self.clock.now()
        self.losses.append(self.epoch(number))
        whole = self.clock.now() - started
        self.seconds.append(whole)
        self.parts.append({**self.clock.seconds, "other": whole - sum(self.clock.seconds.values())})


def published(image_px: int, images: int, batch: int) -> Case:
    """The published GLASS-m on a WideResNet50; every image is one tile."""
    tables: dict[str, Any] = {
        "backbone": {"name": "wide_resnet50_2", "levels": (8, 16), "weights": "random"},
        "tile": {"height_px": image_px, "width_px": image_px, "halo_px": 0, "channels": 3, "exposure": "camera"},
        "model": {
            "level_width": 1536,
            "width": 1536,
            "neighbours": "all",
            "hidden": 1024,
            "adaptor": "xavier",
            "whiten": False,
            "prior": "none",
        },
        "gas": {"relative": False, "full_steps": False},
        "las": {"source": "perlin"},
        "training": {
            "batch": batch,
            "points": 0,
            "samples_per_epoch": images - 1,
            "adaptor_lr": 1e-4,
            "discriminator_lr": 2e-4,
            "schedule": "constant",
            "keep_norm_statistics": "last",
        },
    }
    forms = {
        "ours, published arithmetic": ({}, True),
        "ours": ({"gas": {"ascent": "hidden"}, "training": {"feature_cache": "memory"}}, True),
    }
    return Case(tables, PlainConfig(), (image_px, image_px), images, 3, forms)


def lite(images: int, batch: int) -> Case:
    """The default recipe on grey strips; all points of the synthetic tiles count where losses are compared."""
    tables: dict[str, Any] = {
        "training": {"batch": batch, "samples_per_epoch": 4 * batch - 1, "schedule": "constant", "points": 0},
    }
    recipe = Recipe.model_validate({"data": {"folder": "."}, **tables})
    plain = PlainConfig(
        backbone=recipe.backbone.name,
        levels=tuple(LITE_BLOCKS[level] for level in recipe.backbone.levels),
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
        grey=TILE_GREY if recipe.tile.exposure == "tile" else None,
        level_width=0,
        width=0,
        n_features=recipe.n_features,
        finest_only=recipe.model.neighbours == "finest",
        hidden=recipe.model.hidden,
        centre_pass=False,
        halo_cells=recipe.tile.halo_px // recipe.score_stride_px,
        gaussian_weight=recipe.gas.weight,
        hard_quantile=recipe.training.hard_quantile,
        prior=None if recipe.model.prior == "none" else (recipe.model.prior_alpha, recipe.model.prior_beta),
        prior_is_adapted=recipe.model.prior == "adapted",
        adaptor_lr=recipe.training.adaptor_lr,
        discriminator_lr=recipe.training.discriminator_lr,
    )
    hidden = {"gas": {"ascent": "hidden"}} if recipe.model.hidden else {}
    few = {**hidden, "training": {"points": TrainingSettings().points or 2048}}
    cached = {**few, "training": {**few["training"], "feature_cache": "memory"}}
    forms: dict[str, tuple[dict[str, dict[str, Any]], bool]] = {
        "ours, all points of synthetic tiles": ({}, True),
        **({'and gas.ascent = "hidden"': (hidden, True)} if hidden else {}),
        f"and training.points = {few['training']['points']}": (few, False),
        'and training.feature_cache = "memory"': (cached, False),
    }
    return Case(tables, plain, (256, 2048), images, 1, forms)


def paint(case: Case, seed: int) -> list[ClothStrip]:
    """Plain weave with noise and another tone in each image."""
    rng = np.random.default_rng(seed)
    height, width = case.image_px
    rows, columns = np.mgrid[:height, :width]
    strips = []
    for number in range(case.images):
        weave = 30 * np.sign(np.sin(rows * np.pi / 3.3) * np.sin(columns * np.pi / 3.7))
        grey = rng.uniform(90, 150) + weave + rng.normal(0, 8, (height, width))
        pixels: NDArray[np.uint8] = np.clip(grey, 0, 255).astype(np.uint8)
        if case.channels == 3:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        strips.append(ClothStrip(f"{number}.png", pixels, ClothSpan(0, width)))
    return strips


class Ours:
    """This program's trainer on given strips."""

    def __init__(self, recipe: Recipe, strips: list[ClothStrip], clock: Clock) -> None:
        started = clock.now()
        self.model: StyleModel = build_model(recipe)
        self.model.backbone.to(memory_format=torch.channels_last)
        building = clock.now() - started
        self.cache = FeatureCache.of_recipe(self.model, strips, None)
        if self.cache is not None:  # otherwise filled as tiles are met for the first time
            for index in range(len(self.cache)):
                self.cache.maps([index])
        spread = 1.0
        if recipe.model.whiten or recipe.gas.relative:
            good = measure_good(self.model, strips, positional=False, tick=lambda: None)
            assert good.moments is not None
            self.model.fit_whitening(good.moments)
            spread = spread_of_adapted(self.model.glass_head, good.moments)
        self.config: StepConfig = step_config(recipe, spread)
        sampler = CropSampler(strips, tile_shape(recipe), selvedge_share=0, seed=recipe.seed)
        self.synthesiser = Synthesiser(recipe, sampler)
        training = recipe.training
        optimisers = Optimisers(
            self.model.glass_head, OptimiserConfig(training.adaptor_lr, discriminator_lr=training.discriminator_lr)
        )
        self.steps = training.samples_per_epoch // training.batch + 1
        self.prepared_s = clock.now() - started - building
        self._clock, self._with_norm = clock, training.keep_norm_statistics == "reestimate"
        self._runner = EpochRunner(self.model, optimisers, self.synthesiser, self.config, self.cache)
        self._is_synthetic = False
        self._clock_parts()

    def epoch(self, number: int) -> list[float]:
        """Train the epoch of that number, from 1."""
        mean = torch.zeros(1, self.model.n_features)  # the manifold needs none
        with closing(self._runner.steps(number, self.steps, mean)) as steps:
            losses = [values["total"] for values in steps]
        if self._with_norm:
            self._runner.reestimate_norm()
        return losses

    def _clock_parts(self) -> None:
        """Count the parts of an epoch by name; those inside others are taken out of them."""
        clock, batches = self._clock, self.synthesiser.batches
        network = self._runner._inputs._source._backbone
        backbone, features = network.forward, self.model.features.forward
        whiten, points = self.model.glass_head.whiten, self._runner._inputs.points

        def clocked_backbone(images: torch.Tensor) -> list[torch.Tensor]:
            with clock("backbone, synthetic tiles" if self._is_synthetic else "backbone, good tiles"):
                return backbone(images)

        def synthetic_points(tiles: Pixels, wanted: torch.Tensor | None = None) -> torch.Tensor:
            self._is_synthetic = True
            try:
                return points(tiles, wanted)
            finally:
                self._is_synthetic = False

        def clocked_batches(stream: int, epoch: int, steps: int) -> Iterator[TrainingBatch]:
            with closing(batches(stream, epoch, steps)) as drawn:
                while True:
                    with clock("synthesis"):
                        batch = next(drawn, None)
                    if batch is None:
                        return
                    yield batch

        network.forward = clocked_backbone  # type: ignore[method-assign]
        self.model.features.forward = clocked(lambda: clock, "features", features)  # type: ignore[method-assign]
        self.model.glass_head.whiten = clocked(lambda: clock, "features", whiten)  # type: ignore[method-assign]
        self._runner._inputs.points = synthetic_points  # type: ignore[method-assign]
        self.synthesiser.batches = clocked_batches  # type: ignore[method-assign,assignment]


def clocked(clock_now: Callable[[], Clock], name: str, call: Callable[Given, Made]) -> Callable[Given, Made]:
    """The same function, its time counted by the clock that runs now."""

    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with clock_now()(name):
            return call(*args, **kwargs)

    return wrapped


def clock_modules(clock_now: Callable[[], Clock]) -> None:
    """Count ascent, step and features, which are functions, for whoever runs now."""
    for module, function, name in (
        (step_module, "ascend", "ascent"),
        (folded_step, "_climb", "ascent"),
        (trainer_epoch.EpochRunner, "_train", REST),
        (step_inputs, "gather_points", "features"),
    ):
        setattr(module, function, clocked(clock_now, name, getattr(module, function)))


def plain_form(case: Case, recipe: Recipe, strips: list[ClothStrip], like: Ours, now: Callable[[], float]) -> Form:
    """The plain program from the weights, constants and draws of `like`."""
    gas = like.config.gas
    values = {name: getattr(case.plain, name) for name in PlainConfig.__dataclass_fields__}
    values |= {"step_length": gas.step_length, "band": gas.manifold_band}
    plain = PlainGlass(PlainConfig(**values), recipe.seed, Clock(now))
    head = like.model.glass_head
    plain.backbone.load_state_dict(like.model.backbone.body.state_dict(), strict=False)  # theirs ends earlier
    with torch.no_grad():
        plain.adaptor.load_state_dict(head.adaptor.state_dict())
        own = plain.discriminator.state_dict()
        theirs = {name: tensor for name, tensor in head.discriminator.state_dict().items() if name in own}
        plain.discriminator.load_state_dict(own | theirs)
        if head.whitening is not None:
            plain.whitening = head.whitening.mean.clone(), head.whitening.matrix.clone()
    batch, points = recipe.training.batch, recipe.gas.points
    rows, columns = inner_grid(like.model)
    count = batch * rows * columns

    def draw(epoch: int, step: int) -> PlainBatch:
        tiles = like.synthesiser.batch(TRAINING_STREAM, epoch, step)
        assert tiles.synthetic is not None
        assert tiles.mask is not None
        generator = torch.Generator().manual_seed(noise_seed(recipe.seed, epoch, step + 1))
        chosen = torch.randperm(count, generator=generator)[:points] if 0 < points < count else None
        used = count if chosen is None else len(chosen)
        noise = draw_noise((used, recipe.n_features), gas.noise_sigma, generator, torch.device("cpu"))
        return PlainBatch(tiles.good, tiles.synthetic, tiles.mask, noise, chosen)

    images = [np.stack([strip.pixels for strip in strips[at : at + batch]]) for at in range(0, len(strips), batch)]

    def spoil(epoch: int, number: int) -> object:
        return like.synthesiser.batch(_DISCARDED_STREAM, epoch, number, size=1)

    def epoch(number: int) -> list[float]:
        centre = plain.centre(images, lambda image: spoil(number, image)) if plain.config.centre_pass else None
        losses = []
        for step in range(like.steps):
            with plain.clock("synthesis"):
                drawn = draw(number, step)
            losses.append(plain.step(drawn, centre))
        return losses

    return Form(epoch, plain.clock, is_equal=True)


def compare(case: Case, *, rounds: int, seed: int, threads: int, now: Callable[[], float]) -> dict[str, Any]:
    """Run all forms in turn; times (by `now`), parts and losses of each."""
    strips = paint(case, seed)
    running = Clock()
    clock_modules(lambda: running)

    def recipe_of(changes: dict[str, dict[str, Any]]) -> Recipe:
        tables = {name: {**case.tables.get(name, {}), **changes.get(name, {})} for name in {*case.tables, *changes}}
        return Recipe.model_validate({"data": {"folder": "."}, "seed": seed, **tables})

    forms: dict[str, Form] = {}
    first: Ours | None = None
    for name, (changes, is_equal) in case.forms.items():
        clock = Clock(now)
        ours = Ours(recipe_of(changes), strips, clock)
        first = first or ours
        forms[name] = Form(ours.epoch, clock, is_equal, ours.prepared_s)
    assert first is not None
    forms = {"plain": plain_form(case, recipe_of({}), strips, first, now), **forms}
    for number in range(1, rounds + 2):
        for form in forms.values():
            running = form.clock
            form.run(number)
    return {
        "machine": machine(threads),
        "steps_per_epoch": first.steps,
        "batch": recipe_of({}).training.batch,
        "tile_px": list(tile_of(recipe_of({}))),
        "images": case.images,
        "rounds": rounds,
        "seconds_are": "processor time" if now is time.process_time else "elapsed time",
        "tolerance": TOLERANCE,
        "forms": {name: summary(form, forms["plain"]) for name, form in forms.items()},
    }


def tile_of(recipe: Recipe) -> tuple[int, int]:
    """Height and width of a tile, px."""
    return recipe.tile.height_px, recipe.tile.width_px


def summary(form: Form, plain: Form) -> dict[str, Any]:
    """Medians over the rounds after the first, and the difference of the losses in the first."""
    ratios = [theirs / own for own, theirs in zip(form.seconds[1:], plain.seconds[1:], strict=True)]
    names = {name for parts in form.parts for name in parts}
    return {
        "before_first_epoch_s": form.prepared_s,
        "first_epoch_s": form.seconds[0],
        "epoch_s": statistics.median(form.seconds[1:]),
        "times_faster": statistics.median(ratios),
        "times_faster_range": [min(ratios), max(ratios)],
        "parts_s": {name: statistics.median(parts.get(name, 0.0) for parts in form.parts[1:]) for name in names},
        "losses": form.losses[0],
        "largest_loss_difference": (
            max(abs(own - theirs) for own, theirs in zip(form.losses[0], plain.losses[0], strict=True))
            if form.is_equal
            else None
        ),
    }


def machine(threads: int) -> dict[str, Any]:
    """What it ran on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "cpu": ", ".join(sorted(names)) or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def show(result: dict[str, Any]) -> None:
    """Print a table."""
    facts, forms = result["machine"], result["forms"]
    print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} thread(s), {facts['vectors']}; "
        f"PyTorch {facts['torch']}, Python {facts['python']}"
    )
    height, width = result["tile_px"]
    print(
        f"{result['steps_per_epoch']} steps of {result['batch']} tiles of {height} x {width} px an epoch; "
        f"{result['seconds_are']}, median of {result['rounds']} rounds, in turn"
    )
    wide = max(map(len, (*PARTS, "largest difference of the loss"))) + 2
    names = list(forms)
    print()
    for index, name in enumerate(names):
        print(f"  ({index}) {name}")
    print("".ljust(wide) + "".join(f"({index})".rjust(10) for index in range(len(names))))

    def line(title: str, cells: list[str]) -> None:
        print(title.ljust(wide) + "".join(cell.rjust(10) for cell in cells))

    for part in PARTS:
        line(part, [f"{forms[name]['parts_s'].get(part, 0.0):.2f} s" for name in names])
    line("epoch", [f"{forms[name]['epoch_s']:.2f} s" for name in names])
    line("once, before the first epoch", [f"{forms[name]['before_first_epoch_s']:.2f} s" for name in names])
    line("first epoch", [f"{forms[name]['first_epoch_s']:.2f} s" for name in names])
    line("times faster", [f"{forms[name]['times_faster']:.2f}" for name in names])
    differences = [forms[name]["largest_loss_difference"] for name in names]
    line("largest difference of the loss", ["-" if one is None else f"{one:.1e}" for one in differences])


def main() -> int:
    """Run the comparison; 1 if losses that should be equal are not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", nargs="?", choices=("published", "lite"), default="published")
    parser.add_argument("--image-px", type=int, default=128, help="side of an image (published)")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=None, help="published: 8, lite: 4")
    parser.add_argument("--rounds", type=int, default=3, help="epochs timed, after the first")
    parser.add_argument("--threads", type=int, default=1, help="0: one for each core")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads instead of elapsed time")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.case == "published":
        case = published(asked.image_px, asked.images, asked.batch or 8)
    else:
        case = lite(asked.images, asked.batch or 4)
    now = time.process_time if asked.cpu else time.perf_counter
    with flushed_denormals():
        result = compare(case, rounds=asked.rounds, seed=asked.seed, threads=use_threads(asked.threads), now=now)
    if asked.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    differences = [form["largest_loss_difference"] for form in result["forms"].values()]
    unequal = [one for one in differences if one is not None and not one <= TOLERANCE]
    if unequal:
        print(f"losses differ by up to {max(unequal):.2e}, more than {TOLERANCE:g}", file=sys.stderr)
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
