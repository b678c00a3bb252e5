"""Pictures of strangers, decoded in processes that are bounded in memory and time."""
