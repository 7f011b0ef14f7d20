"""Two channels from one: the turns of each speaker, and a sound for each."""
