"""What developers read: the guide, the reference with its viewer, and the documents behind it."""
