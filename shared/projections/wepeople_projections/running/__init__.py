"""Runs a projection: reads the stream, folds, writes; shares the partitions among processes; puts poison aside."""
