"""A server that speaks S3's API, in this process: moto's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

KEY = {"WEPEOPLE_ARCHIVE_ACCESS_KEY_ID": "AKIATESTS", "WEPEOPLE_ARCHIVE_SECRET_ACCESS_KEY": "planted-archive-secret"}


@contextmanager
def s3_bucket(bucket: str = "events") -> Iterator[str]:
    """The address of an archive in a new bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with urlopen(Request(f"{endpoint}/{bucket}", method="PUT")):
            yield f"s3://{bucket}/some/prefix?endpoint={endpoint}&region=us-east-1"
    finally:
        server.stop()
