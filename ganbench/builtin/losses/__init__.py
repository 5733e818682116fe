"""Adversarial losses and reconstruction terms: what the players descend.

One family a module; each factory's docstring gives formula, paper and where others differ.
"""
