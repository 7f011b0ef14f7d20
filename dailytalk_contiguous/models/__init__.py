"""Floor 2: adapters to models, one contract per kind, loaded once per process."""
