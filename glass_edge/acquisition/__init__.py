"""Camera lines in: the `Camera` protocol and its implementations."""

from glass_edge.acquisition.factory import open_camera

__all__ = ["open_camera"]
