"""The virtual loom from a shell: `python -m glass_edge.acquisition.virtual_loom build | make | tell`.

    build                          compile the producer and say where it is
    make FOLDER IMAGES...          make a loom of images (or a folder of them) in FOLDER
    tell FOLDER ORDER [NUMBER]     run LINES_A_SECOND, stop, stall, resume, lose [SECONDS], find, report, or a fault and
                                   how often: incomplete, drop, missed_trigger, bad_chunk, crash

Promises: exit code 0 done, 1 it failed, 2 the input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from glass_edge.acquisition.virtual_loom.build import build_virtual_loom
from glass_edge.acquisition.virtual_loom.control import FAULTS
from glass_edge.acquisition.virtual_loom.loom import VirtualLoom
from glass_edge.errors import GlassEdgeError

_ORDERS = ("run", "stop", "stall", "resume", "lose", "find", "report", *FAULTS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m glass_edge.acquisition.virtual_loom", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build")
    make, tell = commands.add_parser("make"), commands.add_parser("tell")
    for command in (make, tell):
        command.add_argument("folder", type=Path)
        command.add_argument("--serial", default="LOOM-1", help="name of the camera")
    make.add_argument("images", type=Path, nargs="+")
    make.add_argument("--user-id", default="")
    make.add_argument("--line-rate-hz", type=float, default=1000.0, help="lines of cloth a second")
    make.add_argument("--counts-per-line", type=int, default=1, help="encoder counts from line to line")
    make.add_argument("--once", action="store_true", help="stop at the end of the cloth instead of repeating it")
    make.add_argument("--patient", action="store_true", help="wait for a slow consumer instead of losing frames")
    tell.add_argument("order", choices=_ORDERS)
    tell.add_argument("number", type=float, nargs="?", help="speed, seconds or how often")
    return parser


def _tell(loom: VirtualLoom, order: str, number: float | None) -> None:
    if order in FAULTS:
        loom.order(order, 1 if number is None else int(number))
    elif order == "run":
        loom.run(number)
    elif order == "lose":
        loom.lose(number)
    elif order == "report":
        counts = {"encoder_count": loom.encoder_count, **loom.counters}
        sys.stdout.write("".join(f"{name} {value}\n" for name, value in counts.items()))
    else:
        {"stop": loom.stop, "stall": loom.stall, "resume": loom.resume, "find": loom.find}[order]()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "build":
            sys.stdout.write(f"{build_virtual_loom()}\n")
        elif given.command == "make":
            loom = VirtualLoom.create(
                given.folder,
                given.images,
                serial=given.serial,
                user_id=given.user_id,
                line_rate_hz=given.line_rate_hz,
                counts_per_line=given.counts_per_line,
                repeat=not given.once,
                patient=given.patient,
            )
            sys.stdout.write(f"{loom.cti}\n")
        else:
            with VirtualLoom(given.folder, given.serial) as loom:
                _tell(loom, given.order, given.number)
    except GlassEdgeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
