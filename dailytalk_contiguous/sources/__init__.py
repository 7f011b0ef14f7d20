"""Floor 4: `datasets` builders that yield one row a conversation."""
