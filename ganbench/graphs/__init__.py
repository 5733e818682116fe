"""Whole steps as CUDA graphs: a step is recorded once and then launched as one. `rule` does so for
any rule, `cuda` is what records, and `check` tells which games are the same either way."""
