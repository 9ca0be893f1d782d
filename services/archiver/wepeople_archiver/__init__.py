"""Writes what the stream has into the archive, so that the stream need not keep it for ever."""
