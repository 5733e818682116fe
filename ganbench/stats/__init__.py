"""What many runs say together: cells, intervals, paired comparisons, ranks, time to target.

`sample` selects runs and refuses to mix what can't be compared; every other module turns a sample
into numbers, with the tests of scipy and statsmodels. docs/statistics.md explains each.
"""
