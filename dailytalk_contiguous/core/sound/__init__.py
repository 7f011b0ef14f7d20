"""Sound in arrays: its levels, pitch and quality, and whose voice it is."""
