"""One run on several processes: each takes a part of every batch, and gradients are summed.

`team` talks to the others, `game` plays, `check` proves that the parts allow it.
"""
