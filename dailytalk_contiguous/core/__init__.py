"""Floor 0: pure functions on arrays, numbers and texts, and the records that they make."""
