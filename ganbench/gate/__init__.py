"""Performance gates: what `ganbench compare` and `ganbench perf` conclude, and how they say it.

`report` is the conclusion, `thresholds` what counts as too much, `directions` which way is worse;
`json_report`, `markdown`, `junit`, `github` and `terminal` write it out, and `outputs` all at once.
"""
