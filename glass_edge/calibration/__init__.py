"""What is measured at a station before it inspects: flat field, scale, selvedges, look of a style, alarm threshold."""
