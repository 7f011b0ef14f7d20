"""Turn-taking: turns and their ends, and the timeline that keeps them."""
