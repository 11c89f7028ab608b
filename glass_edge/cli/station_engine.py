"""The engine that a station begins with, and those it may change to.

Promises: a choice made by a command counts over the station file's bundle until a person changes that or deletes the
choice, and what is in force is said; a choice that cannot be followed is refused, never passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from glass_edge.acquisition.camera import Camera
    from glass_edge.calibration.cloth_look import ClothLook
    from glass_edge.config.station import StationSettings
    from glass_edge.engine.bundle import Bundle
    from glass_edge.service.engine_memory import EngineMemory
    from glass_edge.service.recipe_book import Follow, RecipeBook, Recipes
    from glass_edge.service.roll_job import RollJob


@dataclass(frozen=True, slots=True)
class StationEngine:
    """What a station begins with.

    Attributes:
        bundle: verified.
        book: styles it may change to.
        memory: where a change is kept.
        said: what a person should know about the choice; empty: it is the station file's.
    """

    bundle: Bundle
    book: RecipeBook
    memory: EngineMemory
    said: str = ""


def station_engine(settings: StationSettings) -> StationEngine:
    """The engine of a station file, or the one that a command chose since.

    Raises:
        InputError: a bundle is missing or wrong, or the choice cannot be read or followed.
    """
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.service.engine_memory import EngineMemory, memory_path
    from glass_edge.service.engine_start import begins_with, naming_choice
    from glass_edge.service.engine_trial import go_back_after_death, go_back_from_unusable
    from glass_edge.service.recipe_book import RecipeBook

    book, journal = RecipeBook.of(settings), settings.events.journal
    memory = EngineMemory(memory_path(journal), settings.bundle)
    told = go_back_after_death(memory, book, journal)
    try:
        beginning = begins_with(settings, memory, book)
        bundle = load_bundle(beginning.folder)
    except InputError as error:
        if memory.chosen is None:
            raise
        if told := go_back_from_unusable(memory, book, journal, str(error)):
            beginning = begins_with(settings, memory, book)
            return StationEngine(load_bundle(beginning.folder), book, memory, told)
        raise naming_choice(error, memory) from error
    said = [one for one in (told, beginning.said) if one]
    return StationEngine(bundle, book, memory, "\n".join(said))


def station_recipes(engine: StationEngine, settings: StationSettings, follow: Follow | None) -> Recipes:
    """What the running station needs to change its engine.

    Args:
        engine: it begins with.
        settings: station file.
        follow: see `watched_styles`.
    """
    from glass_edge.cli.judging import judge_rules
    from glass_edge.service.recipe_book import Recipes

    return Recipes(engine.book, lambda style: judge_rules(settings, style), engine.memory, follow)


def recipe_problems(settings: StationSettings, job: RollJob) -> list[str]:
    """What is wrong with the styles of `[recipes]`, a sentence each.

    Args:
        settings: station file.
        job: of the station's own bundle.
    """
    from glass_edge.cli.watched import corrected_by
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.service.engine_prepared import check_scale
    from glass_edge.service.fit_watch import look_of_camera
    from glass_edge.service.recipe_book import RecipeBook
    from glass_edge.service.roll_job import check_job

    problems = []
    for style, entry in settings.recipes.items():
        try:
            bundle = load_bundle(RecipeBook(settings.recipes).find(style, None).folder)
            check_job(replace(job, bundle=bundle))
            check_scale(job, bundle)
            if entry.look is not None:
                look_of_camera(entry.look, job.camera.width_px, corrected_by(settings))
        except InputError as error:
            problems.append(f"recipes.{style}: {error}")
    return problems


def watched_styles(camera: Camera, settings: StationSettings, engine: StationEngine) -> tuple[Camera, Follow | None]:
    """`camera`, watched as `[fit_check]` says wherever the style that is woven has a look; itself where none has.

    Returns:
        The camera, and what makes it look for another style (`Recipes.follow`).

    Raises:
        InputError: a look of the style to begin with is missing, or of another camera or flat field.
    """
    from glass_edge.cli.watched import corrected_by
    from glass_edge.service.fit_watch import FitWatchCamera, look_of_camera

    book, sha256 = engine.book, corrected_by(settings)

    def load(path: Path | None) -> ClothLook | None:
        return None if path is None else look_of_camera(path, camera.width_px, sha256)

    if all(book.look(style) is None for style in book.entries):
        return camera, None
    look = load(book.look(engine.bundle.manifest.style))
    watch = FitWatchCamera(camera, look, settings.fit_check, mm_per_line=settings.web.mm_per_line)

    def follow(style: str) -> Callable[[], None]:
        found = load(book.look(style))
        return lambda: watch.use(found)

    return watch, follow
