"""How things stand: the newest snapshot of each type, per worker and app."""
