"""What crosses a process boundary: one definition for each message, and nothing that does I/O."""
