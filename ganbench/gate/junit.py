"""A report as JUnit XML: a test case for each gated figure.

A regression is a `failure`, an undecided figure `skipped` with the reason, and a problem an
`error` of a case of its own, so that no viewer of test results shows any of the three as passed.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ganbench.gate import words
from ganbench.gate.report import Report, Row

__all__ = ["to_junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(report: Report, suite: str = "ganbench") -> str:
    """The XML text. Figures that are only reported are in the suite's `system-out`."""
    gated = [row for row in report.rows if row.gated]
    counts = {
        "tests": len(gated) + (report.problem is not None),
        "failures": sum(row.verdict == "regressed" for row in gated),
        "errors": int(report.problem is not None),
        "skipped": sum(row.verdict == "inconclusive" for row in gated),
    }
    attributes = {key: str(value) for key, value in counts.items()}
    root = ElementTree.Element("testsuites", {"name": suite, **attributes})
    element = ElementTree.SubElement(root, "testsuite", {"name": suite, **attributes})
    for row in gated:
        _case(element, row, suite)
    if report.problem is not None:
        case = ElementTree.SubElement(
            element, "testcase", {"classname": suite, "name": "comparison", "time": "0"}
        )
        message = _clean(report.problem)
        ElementTree.SubElement(
            case, "error", {"message": message, "type": "problem"}
        ).text = message
    reported = [words.sentence(row) for row in report.rows if not row.gated]
    ElementTree.SubElement(element, "system-out").text = _clean(
        "\n".join([words.headline(report), *report.notes, *reported])
    )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(element: ElementTree.Element, row: Row, suite: str) -> None:
    name = {"classname": _clean(f"{suite}.{row.case}"), "name": _clean(row.metric), "time": "0"}
    case = ElementTree.SubElement(element, "testcase", name)
    message = _clean(words.sentence(row))
    if row.verdict == "regressed":
        failure = {"message": message, "type": "regressed"}
        ElementTree.SubElement(case, "failure", failure).text = message
    elif row.verdict == "inconclusive":
        ElementTree.SubElement(case, "skipped", {"message": message})
    else:
        ElementTree.SubElement(case, "system-out").text = message


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 can't hold."""
    return _NOT_XML.sub("\ufffd", text)
