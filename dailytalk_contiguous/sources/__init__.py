"""Floor 5: `datasets` builders that yield one row a conversation."""
