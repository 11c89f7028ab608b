"""The training module: GLASS from good cloth to an ONNX graph. Needs the extra 'train'; never imported at run time."""
