"""The built-in read models: one file each, by the same API as anybody's projection."""
