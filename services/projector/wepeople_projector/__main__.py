"""`python -m wepeople_projector`."""

import uvloop

from wepeople_projector.app import run

if __name__ == "__main__":
    uvloop.run(run())
