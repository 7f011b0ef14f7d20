"""Floor 0: pure functions on arrays and numbers. No models, no Hub, no engine; only `audio` reads files."""
