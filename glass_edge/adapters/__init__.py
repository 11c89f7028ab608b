"""Clients of the event stream that speak to machines; each is a separate process."""
