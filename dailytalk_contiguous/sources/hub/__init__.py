"""Datasets on the Hub as sources."""
