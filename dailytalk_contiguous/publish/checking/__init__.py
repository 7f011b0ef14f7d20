"""Whether a trainer would get along with a folder, a dataset or a version."""
