from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_cloth import PUBLISHED, good_data, paint_good, recipe, save, weave
from training_watcher import Watcher

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.crops import CropSampler, Origin, cut
from glass_edge.glass.feature_cache import FeatureCache, good_places
from glass_edge.glass.map_store import MapStore
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer import Trainer
from glass_edge.glass.trainer_epoch import EpochRunner
from glass_edge.glass.trainer_features import measure_good, tile_shape
from glass_edge.glass.trainer_step import step_config


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def tile_images(folder: Path, count: int = 5) -> Path:
    """Images that are one tile each."""
    return paint_good(folder, count, (64, 64))


def cached(folder: Path, kind: str = "memory", place: Path | None = None, **tables: dict[str, Any]) -> FeatureCache:
    made = recipe(folder, **{**tables, "training": {**tables.get("training", {}), "feature_cache": kind}})
    cache = FeatureCache.of_recipe(build_model(made), good_data(made).train, place)
    assert cache is not None
    return cache


def test_an_image_of_a_tile_s_size_is_its_own_tile(tmp_path: Path) -> None:
    folder = tile_images(tmp_path)
    cache = cached(folder)
    data = good_data(recipe(folder))
    assert cache.origins == [(index, 0, 0) for index in range(len(data.train))]
    assert [cache.nearest(origin) for origin in cache.origins] == list(range(len(data.train)))


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_maps_are_the_backbone_s_bit_for_bit_in_any_order(tmp_path: Path, kind: str) -> None:
    folder = tile_images(tmp_path / "good")
    cache = cached(folder, kind, tmp_path)
    model, data = build_model(recipe(folder)), good_data(recipe(folder))
    for indices in ([2, 0], [1, 1, 2], [0]):
        for _ in range(2):  # computed, then read
            maps = cache.maps(indices)
            for number, index in enumerate(indices):
                tile = torch.from_numpy(data.train[index].pixels)[None, :, :, None]
                with torch.no_grad():
                    alone = model.level_maps(tile)
                assert all(torch.equal(level[number], own[0]) for level, own in zip(maps, alone, strict=True))


def test_a_crop_of_a_strip_becomes_the_nearest_tile(tmp_path: Path) -> None:
    folder = paint_good(tmp_path, 2, (96, 400))
    made = recipe(folder)
    cache, data = cached(folder), good_data(made)
    tile = tile_shape(made)
    places = np.array(cache.origins)
    assert (places[:, 1] <= 96 - 64).all()
    assert (places[:, 2] <= 400 - 64).all()
    sampler = CropSampler(data.train, tile, selvedge_share=0, seed=1)
    for index in range(50):
        origin: Origin = sampler.origin(sampler.generator(1, 1, index))
        found = cache.origins[cache.nearest(origin)]
        assert found[0] == origin[0]
        away = [
            abs(place[1] - origin[1]) + abs(place[2] - origin[2]) for place in cache.origins if place[0] == origin[0]
        ]
        assert abs(found[1] - origin[1]) + abs(found[2] - origin[2]) == min(away)
    chosen = cache.nearest((0, 7, 200))
    strip, row, column = cache.origins[chosen]
    with torch.no_grad():
        alone = build_model(made).level_maps(torch.from_numpy(cut(data.train[strip], tile, row, column).copy())[None])
    assert all(torch.equal(own, level) for own, level in zip(cache.maps([chosen]), alone, strict=True))


def runner(made: Recipe, place: Path | None = None) -> tuple[EpochRunner, StyleModel, torch.Tensor]:
    model, data = build_model(made), good_data(made)
    model.backbone.to(memory_format=torch.channels_last)
    cache = FeatureCache.of_recipe(model, data.train, place)
    good = measure_good(model, data.train, positional=False, tick=lambda: None, cache=cache)
    if model.glass_head.whitening is not None:
        assert good.moments is not None
        model.fit_whitening(good.moments)
    synthesiser = Synthesiser(made, CropSampler(data.train, tile_shape(made), selvedge_share=0, seed=made.seed))
    return (
        EpochRunner(model, Optimisers(model.glass_head), synthesiser, step_config(made, 1.0), cache),
        model,
        good.mean,
    )


def trained(made: Recipe, place: Path | None = None) -> dict[str, torch.Tensor]:
    run, model, mean = runner(made, place)
    for epoch in (1, 2):
        for _ in run.steps(epoch, 3, mean):
            pass
        run.reestimate_norm()
    return model.glass_head.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("tables", [{}, PUBLISHED], ids=["whitened", "published"])
def test_training_on_images_of_a_tile_s_size_does_not_depend_on_the_cache(
    tmp_path: Path, tables: dict[str, Any]
) -> None:
    folder = tile_images(tmp_path / "good")
    off, memory, disk = (
        trained(
            recipe(folder, **{**tables, "training": {**tables.get("training", {}), "feature_cache": kind}}), tmp_path
        )
        for kind in ("off", "memory", "disk")
    )
    assert equal(off, memory)
    assert equal(off, disk)


def test_varied_tiles_pass_the_backbone(tmp_path: Path) -> None:
    folder = tile_images(tmp_path)
    varied = {"augment": {"share": 0.6, "gain": 0.2}}
    off, memory = (trained(recipe(folder, **varied, training={"feature_cache": kind})) for kind in ("off", "memory"))
    assert equal(off, memory)


def test_workers_change_nothing(tmp_path: Path) -> None:
    folder = paint_good(tmp_path)
    one, three = (trained(recipe(folder, training={"workers": workers})) for workers in (1, 3))
    assert equal(one, three)


def test_a_continued_run_reads_what_the_uninterrupted_one_read(tmp_path: Path) -> None:
    made = recipe(paint_good(tmp_path / "good"), training={"feature_cache": "disk"})
    data = good_data(made)
    straight, continued = Watcher(), Watcher()
    Trainer(made, data, straight, cache_folder=tmp_path).run()
    trainer = Trainer(made, data, continued, cache_folder=tmp_path)
    trainer.restore(straight.states[0])
    trainer.run()
    assert equal(straight.states[1].head, continued.states[0].head)


def test_the_file_has_no_name_and_off_makes_none(tmp_path: Path) -> None:
    folder, place = tile_images(tmp_path / "good"), tmp_path / "run"
    cache = cached(folder, "disk", place)
    cache.maps([0, 1])
    assert list(place.iterdir()) == []
    made = recipe(folder)
    assert FeatureCache.of_recipe(build_model(made), good_data(made).train, place) is None


def test_no_room_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    for folder, count, message in (
        (tmp_path, 1 << 40, r"no room for .* GiB of maps .*training\.feature_cache = 'off'"),
        (None, 1 << 30, r"training\.feature_cache = 'memory': .* GiB of maps.* give 'disk' or 'off'"),
    ):
        with pytest.raises(InputError, match=message):
            MapStore(count, [(256, 64, 64)], torch.float32, folder)


def test_long_strips_are_thinned_and_every_image_keeps_a_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        save(tmp_path / f"a{number}.png", weave(rng, 64, 64))
    for name in ("b", "c"):
        save(tmp_path / f"{name}.png", weave(rng, 64, 900))
    made = recipe(tmp_path, data={"folder": tmp_path, "holdout": 0.01})
    strips = good_data(made).train
    long = {index for index, strip in enumerate(strips) if strip.width_px == 900}
    model = build_model(made)

    def places(most: int) -> tuple[list[Origin], list[Origin]]:
        monkeypatch.setattr("glass_edge.glass.feature_cache.MOST_TILES", most)
        origins = good_places(strips, model)
        return [one for one in origins if one[0] in long], [one for one in origins if one[0] not in long]

    everything, single = places(1024)
    assert len(single) == len(strips) - len(long)
    assert len(everything) > 20
    for most in (8, 1):
        few, others = places(most)
        assert others == single
        assert set(few) <= set(everything)
        assert len(few) == max(most, len(long))
        assert {one[0] for one in few} == long
