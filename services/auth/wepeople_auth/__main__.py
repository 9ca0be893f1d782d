"""`python -m wepeople_auth`."""

import sys

import uvloop

from wepeople_auth.app import serve
from wepeople_auth.settings import AuthSettings
from wepeople_chassis.logging import configure_logging
from wepeople_chassis.settings import load_settings


def main() -> None:
    """Read the settings and serve."""
    settings = load_settings(AuthSettings, sys.argv[1:])
    configure_logging("auth", settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
