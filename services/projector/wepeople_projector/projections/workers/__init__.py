"""Who there is: workers, their identifiers and connections, and where identifiers disagreed."""
