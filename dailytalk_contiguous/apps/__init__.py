"""Programs with a page of their own, on what `publish` and everything below it reads."""
