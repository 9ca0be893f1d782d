"""`python -m wepeople_quota`."""

import uvloop
from psycopg.errors import InvalidSchemaName, UndefinedTable

from wepeople_chassis.settings import load_settings
from wepeople_chassis.stream import StreamError
from wepeople_quota.app import serve
from wepeople_quota.ownership import Fenced
from wepeople_quota.settings import QuotaSettings


def main() -> None:
    """Run quota until it is told to stop; exit 1 with one line when it cannot go on."""
    try:
        uvloop.run(serve(load_settings(QuotaSettings)))
    except (StreamError, Fenced) as error:
        raise SystemExit(f"Quota stopped: {error}.") from None
    except (InvalidSchemaName, UndefinedTable):
        raise SystemExit("Quota stopped: its tables are missing; run `wepeople provision` first.") from None


if __name__ == "__main__":
    main()
