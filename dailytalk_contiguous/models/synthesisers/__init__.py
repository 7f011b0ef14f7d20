"""The synthesisers of this package: one file each, whose name is that of its `ENGINE` (see `models.engines`)."""
