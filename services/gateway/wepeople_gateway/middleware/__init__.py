"""What surrounds every request: its id, and the one shape of every error."""
