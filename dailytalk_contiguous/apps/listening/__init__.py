"""Listening tests, and the agreement of their listeners."""
