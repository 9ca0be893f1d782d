"""What was asked: every stored request, once."""
