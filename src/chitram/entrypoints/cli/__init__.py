"""The command line. Nothing that is made while modules load is garbage: to look for some takes a sixth of the start."""

import gc

gc.disable()  # `main` turns it on again when everything is loaded
