"""Floor 2: files and folders that are written so that a crash at any time leaves them whole."""
