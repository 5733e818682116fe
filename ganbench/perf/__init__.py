"""`ganbench perf`: two installations measured against each other until the verdict is clear.

`worker` runs in the measured installations and `servers` talks to it; `installations` are what is
measured, `sampling` draws evidence restart by restart, `evidence` is that data, `intervals` the
statistics, `decision` the verdict, `instructions` counts with valgrind, and `measure` is the loop
around them all.
"""
