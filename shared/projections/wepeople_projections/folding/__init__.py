"""From messages to what handlers emit: decoding, whom a row is about, one row after the other. Pure."""
