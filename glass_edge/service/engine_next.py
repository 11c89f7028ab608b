"""The engine of a station's next start, for those who only look.

Promises: it is the one that a start would take, also after a death within a trial; nothing is written.
"""

from __future__ import annotations

from glass_edge.config.station import StationSettings
from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory, memory_path, station_lock
from glass_edge.service.engine_start import Beginning, begins_with, naming_choice
from glass_edge.service.engine_trial import bundle_before
from glass_edge.service.recipe_book import RecipeBook


def next_start(settings: StationSettings) -> Beginning:
    """The engine that the station begins with when it is started again; it may run now.

    Raises:
        InputError: the station's memory cannot be read, or the engine is missing, or its manifest is wrong.
    """
    memory = EngineMemory(memory_path(settings.events.journal), settings.bundle)
    return next_start_of(settings, memory, RecipeBook.of(settings))


def next_start_of(settings: StationSettings, memory: EngineMemory, book: RecipeBook) -> Beginning:
    """`next_start`, with the memory and the book of the station."""
    style = memory.died_on
    if style is None or station_lock(settings.events.journal).is_held():  # a trial that goes on is no death
        return _begins(settings, memory, book)
    try:
        bundle = bundle_before(memory, book, style)
    except InputError:  # the one on trial goes on
        return _begins(settings, memory, book)
    manifest = bundle.manifest
    said = f"the station ended within the trial of its engine and goes back to {manifest.style} {manifest.version}"
    return Beginning(bundle.folder, said)


def _begins(settings: StationSettings, memory: EngineMemory, book: RecipeBook) -> Beginning:
    try:
        return begins_with(settings, memory, book)
    except InputError as error:
        if memory.chosen is None:
            raise
        raise naming_choice(error, memory) from error
