"""Several versions of one projection side by side: built, compared, rebuilt and swapped."""
