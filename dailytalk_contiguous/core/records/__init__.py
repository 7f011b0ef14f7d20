"""Records: what a row, an utterance, a clip and the tables of a dataset consist of."""
