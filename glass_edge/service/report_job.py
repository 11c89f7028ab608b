"""The report of a roll in a process of its own: `python -m glass_edge.service.report_job`, one JSON document on stdin.

Promises: the inspection's process draws nothing (matplotlib holds the interpreter for seconds); the process runs at the
lowest priority; it ends with exit code 0 and the report on disk, or 1 and one line on stderr that says why.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from glass_edge.errors import GlassEdgeError


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """What to report.

    Attributes:
        journal: of the station.
        roll_id: the roll, which has ended.
        out: folder of the report.
        crops: folder of the pictures of defects.
        table: table of points, a name or a file.
    """

    journal: str
    roll_id: str
    out: str
    crops: str
    table: str

    def to_json(self) -> str:
        """The document on the process's standard input."""
        return json.dumps(asdict(self))


def safe_name(roll_id: str) -> str:
    """The roll's name as a name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", roll_id)[:80].lstrip(".") or "roll"


def main() -> int:
    """Body of the process."""
    from glass_edge.config.grading import load_grading  # noqa: PLC0415 - after the priority was lowered
    from glass_edge.service.report import write_report  # noqa: PLC0415

    os.nice(19)
    order = ReportOrder(**json.loads(sys.stdin.read()))
    try:
        grading = load_grading(order.table)
        write_report(Path(order.journal), order.roll_id, Path(order.out), grading=grading, crops=Path(order.crops))
    except GlassEdgeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
