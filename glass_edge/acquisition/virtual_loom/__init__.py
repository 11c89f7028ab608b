"""A line-scan camera that is not there: our own GenTL producer, its cloth, its faults. README.md is the reference."""

from glass_edge.acquisition.virtual_loom.build import build_virtual_loom
from glass_edge.acquisition.virtual_loom.loom import VirtualLoom

__all__ = ["VirtualLoom", "build_virtual_loom"]
