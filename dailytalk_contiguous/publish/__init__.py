"""Floor 7: what a finished dataset is turned into for those who use it: training folders, and the verdict on them.

Everything here reads the rows of `core.records.schema` and writes files, or reads such files and judges them.
Nothing here changes a dataset.
"""
