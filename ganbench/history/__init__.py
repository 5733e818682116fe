"""Figures over commits: `rows` is the file, `series` what is read off it, `changes` where a level
changed, `draw` the picture."""
