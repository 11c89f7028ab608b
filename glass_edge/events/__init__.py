"""Defect events nothing escapes: schema, journal, publisher, client."""
