"""A nats-server of one test alone."""

from tests.support.lone_stream import connection, server  # noqa: F401  (fixtures)
