"""Pictures of circuits and of what they did."""
