"""Has no hook at all."""
from ganbench import hookimpl

LOSSES = {"x": "json:dumps"}
