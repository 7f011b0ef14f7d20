"""Exports: a writer for each trainer and tool."""
