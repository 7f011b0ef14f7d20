"""From packed files to a version on the Hub that readers see whole or not at all."""
