"""Wrappers of the scorer: every loss of the sum sees D behind a random transformation.

Both real and fake images are transformed, and gradients pass through to G.
"""
