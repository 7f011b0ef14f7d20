"""Measures how well the turns of two speakers in a dataset can be predicted."""
