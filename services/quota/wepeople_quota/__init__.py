"""May they, now and this month? Rate windows, the count of the month, and the ids of the last ten minutes."""
