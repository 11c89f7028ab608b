"""An engine tried on a machine whose station goes on inspecting.

Promises: it passed the parity gate here, in the precision that the station would take; at most one core is used, and
that after everything else on the machine; nothing of it stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineFacts
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import open_engine

_LEAST_PRIORITY = 19
_ALONE = {"threads": 1, "streams": 1, "cores": (), "pin_threads": False, "max_batch": 1, "depth": 1}


def try_engine(bundle: Bundle, settings: EngineSettings) -> EngineFacts:
    """Compile a verified bundle and run its golden tiles.

    Args:
        bundle: verified.
        settings: of the station.

    Returns:
        What computed.

    Raises: as `engine.factory.open_engine`.
    """
    changes: dict[str, object] = dict(_ALONE)
    if settings.runtime == "openvino":
        changes["cache_folder"] = None  # compiled for one thread it would be of no use to the station
    with _least_priority():
        engine = open_engine(bundle, settings.model_copy(update=changes))
        with engine:  # warmed, as a station does
            return engine.facts


@contextlib.contextmanager
def _least_priority() -> Iterator[None]:
    """Threads that are started inside, and the calling one meanwhile, run after everything else."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(before, _LEAST_PRIORITY))
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # only root may go back
            os.setpriority(os.PRIO_PROCESS, 0, before)
