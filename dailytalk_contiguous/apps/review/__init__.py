"""`dailytalk review`: a page for listening to recordings and correcting their lines, and its server."""
