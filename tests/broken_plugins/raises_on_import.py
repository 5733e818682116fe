"""Raises when it is imported."""
raise RuntimeError("no licence key\nfound in the environment")
