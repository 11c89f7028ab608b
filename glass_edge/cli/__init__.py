"""The command line `glass-edge`, one module a group of commands."""
