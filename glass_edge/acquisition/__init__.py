"""Camera lines in: the `Camera` protocol and its implementations."""
