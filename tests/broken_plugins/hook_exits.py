"""Its hook ends the process."""
import sys

from ganbench import hookimpl


@hookimpl
def ganbench_optimizers():
    sys.exit("out of luck")
