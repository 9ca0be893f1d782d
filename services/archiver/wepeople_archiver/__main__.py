"""`python -m wepeople_archiver`."""

import sys

import uvloop

from wepeople_archiver.app import run
from wepeople_archiver.settings import ArchiverSettings
from wepeople_chassis.settings import load_settings


def main() -> None:
    """Run the archiver until it is told to stop."""
    uvloop.run(run(load_settings(ArchiverSettings, sys.argv[1:])))


if __name__ == "__main__":
    main()
