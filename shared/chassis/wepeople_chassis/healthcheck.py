"""`python -m wepeople_chassis.healthcheck`: whether the service in this container is ready, as its exit code says.

Asks `/readyz` on `WEPEOPLE_OPS_HOST` and `WEPEOPLE_OPS_PORT`, as the service itself reads them, and prints the answer.
The standard library only: a container runs it every few seconds.
"""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4.0
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - where it listens, not where we do


def main() -> int:
    """0 when it is ready, 1 when it is not or does not answer."""
    host = os.environ.get("WEPEOPLE_OPS_HOST", "127.0.0.1")
    port = os.environ.get("WEPEOPLE_OPS_PORT", "0")
    if not port.isdigit() or port == "0":
        print("WEPEOPLE_OPS_PORT does not say where to ask; set it for the service too, such as 9090.", file=sys.stderr)
        return 1
    connection = http.client.HTTPConnection(
        "127.0.0.1" if host in _EVERYWHERE else host, int(port), timeout=TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        print(answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer on port {port}: {error!r}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
