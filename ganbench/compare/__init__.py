"""Results against results: `compare_places` -> a report.

`sides` finds out what is compared, `cases` what belongs together; `results` and `pytest_json` ask,
`judge` answers, by the tests in `paired`.
"""

from ganbench.compare.places import compare_places

__all__ = ["compare_places"]
