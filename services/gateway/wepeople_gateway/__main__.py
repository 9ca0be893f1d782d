"""`python -m wepeople_gateway`."""

import sys

import uvloop

from wepeople_chassis.settings import load_settings
from wepeople_gateway.app import serve
from wepeople_gateway.settings import GatewaySettings

uvloop.run(serve(load_settings(GatewaySettings, sys.argv[1:])))
