"""What is measured at a station before it inspects: selvedges and the false-alarm threshold."""
