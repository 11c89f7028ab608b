"""The domain of woven cloth: geometry in millimetres, defects and rolls. Pure values, no input or output."""
