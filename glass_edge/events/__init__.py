"""Events of a station: schema, journal, publication with replay, and the client library."""
