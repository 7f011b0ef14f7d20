"""Floor 3: how rows reach the stages and become shards on disk."""
