"""The path of a request: read, decode, decide, reserve, publish, respond. `handler.py` is the order of the steps."""
