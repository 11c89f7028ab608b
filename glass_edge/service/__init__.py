"""Assembly of a station: camera, engine, inspection and events."""
