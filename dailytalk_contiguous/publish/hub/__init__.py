"""The Hub: versions are packed, pushed, compared and restored."""
