"""Listening tests, and how far those who listened agree."""
