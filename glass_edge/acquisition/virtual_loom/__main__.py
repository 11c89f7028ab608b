"""`python -m glass_edge.acquisition.virtual_loom` compiles the producer and says where it is."""

from __future__ import annotations

import sys

from glass_edge.acquisition.virtual_loom.build import build_virtual_loom
from glass_edge.errors import GlassEdgeError


def main() -> int:
    """Compile; returns the exit code."""
    try:
        sys.stdout.write(f"{build_virtual_loom()}\n")
    except GlassEdgeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
