"""One folder per read model: what its rows are (pure), and how they reach its table."""
