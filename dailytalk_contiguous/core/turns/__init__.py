"""Turn-taking: turns and their ends, interactions, and the timeline that keeps them."""
