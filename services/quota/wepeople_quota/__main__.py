"""`python -m wepeople_quota`."""

import sys

import uvloop
from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable

from wepeople_chassis.settings import load_settings
from wepeople_chassis.stream import StreamError
from wepeople_quota.app import serve
from wepeople_quota.settings import QuotaSettings
from wepeople_quota.store import DatabaseWentBack, Fenced


def main() -> None:
    """Run quota until it is told to stop; exit 1 with one line when it cannot go on."""
    try:
        uvloop.run(serve(load_settings(QuotaSettings, sys.argv[1:])))
    except (StreamError, Fenced, DatabaseWentBack) as error:
        raise SystemExit(f"Quota stopped: {error}.") from None
    except (InvalidSchemaName, UndefinedTable, UndefinedColumn):
        raise SystemExit("Quota stopped: its tables are missing; run `wepeople provision` first.") from None


if __name__ == "__main__":
    main()
