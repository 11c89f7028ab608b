"""A simulated loom: endless strips of woven cloth with known defects, as a line-scan camera would see them."""
