"""Folds the stream into read models: workers, timeline, latest snapshots."""
