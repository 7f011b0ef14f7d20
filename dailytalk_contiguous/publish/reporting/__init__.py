"""One HTML page to look at and listen to."""
