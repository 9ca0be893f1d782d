"""Running a projection over what the stream holds, and showing how far it is."""
