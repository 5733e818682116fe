"""The convergence card: how a loss, an optimizer and a rule behave on games solved on paper.

games: the analytic games. dynamics: the rate that the update's Jacobian predicts. trajectories: the
rate and the fate of what is played. verdict, make, draw: from those to a card and its picture.
"""

from ganbench.card.make import Card, GameResult, make_card

__all__ = ["Card", "GameResult", "make_card"]
