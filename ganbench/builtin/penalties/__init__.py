"""Penalties and constraints on D, added to a loss with `+`.

gradient: norms of D's gradient at samples. constraints: weights, and D's values under
augmentation. consensus: the norm of both players' gradients.
"""
