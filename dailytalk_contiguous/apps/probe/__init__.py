"""What can be foreseen of two speakers in a dataset."""
