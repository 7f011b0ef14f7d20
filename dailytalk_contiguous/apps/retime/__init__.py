"""Conversations with another timing."""
