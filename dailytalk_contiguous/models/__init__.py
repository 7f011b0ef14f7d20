"""Floor 1: adapters to models, one contract per kind, loaded once per process."""
