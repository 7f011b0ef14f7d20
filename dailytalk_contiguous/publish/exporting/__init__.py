"""Folders in the layouts that trainers read."""
