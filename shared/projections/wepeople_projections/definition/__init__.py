"""What an analyst writes: tables, operations, projections, and which part of the stream they see. Pure."""
