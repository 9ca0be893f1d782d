"""`python -m wepeople_projector`."""

import sys

import uvloop

from wepeople_chassis.settings import load_settings
from wepeople_projector.app import run
from wepeople_projector.settings import ProjectorSettings

if __name__ == "__main__":
    uvloop.run(run(load_settings(ProjectorSettings, sys.argv[1:])))
