"""Aligners, a file each: where the words of a text are in its sound."""
