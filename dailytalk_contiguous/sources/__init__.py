"""Floor 3: `datasets` builders that yield one row a conversation."""
