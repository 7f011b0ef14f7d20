"""Floor 7: training, evaluation and search over rows, read as `publish` reads them."""
