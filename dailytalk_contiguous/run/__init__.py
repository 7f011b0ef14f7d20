"""Floor 6: how rows reach the stages, become shards, and what a run leaves beside them."""
