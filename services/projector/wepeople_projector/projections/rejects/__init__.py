"""What was refused: rejected rows as received, with the reason, for 14 days."""
