"""glass_edge inspects woven cloth while it is woven: camera lines in, defect events out."""

__version__ = "0.1.0"
