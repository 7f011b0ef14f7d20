"""Two channels of one: who speaks when, and a sound for each."""
