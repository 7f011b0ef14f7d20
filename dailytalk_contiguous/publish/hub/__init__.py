"""The Hub: versions are packed, pushed and compared."""
