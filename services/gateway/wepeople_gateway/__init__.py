"""The HTTP front door: who is it, may they, what of it is right; then one envelope into the stream."""
