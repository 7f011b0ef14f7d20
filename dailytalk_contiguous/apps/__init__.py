"""Commands with pages and formats of their own, on `publish` and all below it."""
