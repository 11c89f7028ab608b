"""`python -m glass_edge.cli`: the same as `glass-edge`."""

from glass_edge.cli.main import main

main()
