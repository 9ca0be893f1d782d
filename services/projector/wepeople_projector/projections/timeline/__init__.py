"""What happened: every accepted event, once."""
