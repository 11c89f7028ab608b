"""An engine tried on a machine whose station goes on inspecting, in a process of its own.

Promises: it passed the parity gate here, in the precision that the station would take; one that ends its process is an
error like any other; at most one core is used, and that after everything else on the machine; nothing of it stays.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineFacts
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.errors import GlassEdgeError, InputError

_LEAST_PRIORITY = 19
_ALONE = {"threads": 1, "streams": 1, "cores": (), "pin_threads": False, "max_batch": 1, "depth": 1}


def try_engine(bundle: Bundle, settings: EngineSettings) -> EngineFacts:
    """Compile a verified bundle and run its golden tiles.

    Args:
        bundle: verified.
        settings: of the station.

    Returns:
        What computed.

    Raises:
        InputError, GlassEdgeError: as `engine.factory.open_engine`, or its process ended.
    """
    command = [sys.executable, "-m", __name__, str(bundle.folder)]
    done = subprocess.run(command, input=settings.model_dump_json(), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise GlassEdgeError(
            f"{bundle.folder}: the engine {_how_it_ended(done.returncode)} while it was tried; use another version"
        )
    answer = json.loads(done.stdout)
    if "facts" in answer:
        return EngineFacts(**answer["facts"])
    kind = InputError if answer["is_input"] else GlassEdgeError
    raise kind(answer["error"])


def try_here(bundle: Bundle, settings: EngineSettings) -> EngineFacts:
    """`try_engine` in this process, for one of its own.

    Raises: as `engine.factory.open_engine`.
    """
    changes: dict[str, object] = dict(_ALONE)
    if settings.runtime == "openvino":
        changes["cache_folder"] = None  # compiled for one thread it would be of no use to the station
    with open_engine(bundle, settings.model_copy(update=changes)) as engine:  # warmed, as a station does
        return engine.facts


def main() -> None:
    """The process: the settings as JSON on standard input, an answer as JSON on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who asked for the trial says that it was interrupted
    os.setpriority(os.PRIO_PROCESS, 0, _LEAST_PRIORITY)
    output = os.dup(1)
    os.dup2(2, 1)  # logs, and what libraries print
    settings = EngineSettings.model_validate_json(sys.stdin.read())
    answer: dict[str, object]
    try:
        answer = {"facts": asdict(try_here(load_bundle(Path(sys.argv[1])), settings))}
    except GlassEdgeError as error:
        answer = {"error": str(error), "is_input": isinstance(error, InputError)}
    with os.fdopen(output, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(answer))


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"failed with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"ended its process ({name})"


if __name__ == "__main__":
    main()
