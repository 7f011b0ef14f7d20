"""The dataset card: the text and pictures that tell people what a version holds, and what is theirs in it."""
