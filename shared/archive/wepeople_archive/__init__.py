"""The archive: what left the stream, or will, as Parquet files in object storage."""
