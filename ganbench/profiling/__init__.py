"""Where a step's time goes, and what would make it faster.

`ledger` shares a meter's readings among parts; `seams` finds the parts in a game, whatever plugs
into it; `trials` plays other settings beside the given ones; `profile` puts it together.
"""
