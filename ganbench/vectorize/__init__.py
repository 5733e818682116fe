"""Several seeds of one spec at once: networks run stacked, losses run seed by seed, as they are.

`stacked` holds the networks, `lockstep` runs the losses, `game` plays, `check` proves the first
step right.
"""
