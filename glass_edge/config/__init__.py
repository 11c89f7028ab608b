"""Settings: one pydantic model a topic, read from TOML; unknown keys are refused with the nearest right key."""
