"""Results against results: what is asked of each case, and what can't be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganbench.compare.cases import Case, cases_of
from ganbench.compare.interleaved import interleaved
from ganbench.compare.judge import Question, judge
from ganbench.compare.runs import ENVIRONMENT, Run
from ganbench.errors import UsageError
from ganbench.gate.report import Report, Verdict, overall
from ganbench.gate.thresholds import Thresholds

__all__ = ["DEFAULTS", "NOT_IN_TURNS", "compare_results", "differing"]

DEFAULTS = {"throughput": 0.05, "peak_memory": 0.05, "fid": 0.05, "divergence": 0.0}
NOT_IN_TURNS = (
    "Base and head were not measured in turns, so a machine that changed its speed in between "
    "would look the same: alternate them, or use ganbench perf."
)
_SPEED = {"throughput": "images/s", "peak_memory": "MB"}


def compare_results(
    base: Sequence[Run], head: Sequence[Run], given: Thresholds, allowance: float | None
) -> Report:
    """Judge every figure of every case that both sides have."""
    thresholds = given.over(DEFAULTS)
    cases = cases_of(base, head)
    present = {m for case in cases.both for run in _runs(case) for m in (*run.speed, *run.quality)}
    if cases.both:
        given.check_metrics({*present, *DEFAULTS})
    questions: list[Question] = []
    problems: list[str] = []
    notes = list(cases.notes)
    if not cases.both:
        problems.append(
            "no case is on both sides: cases are the same when all settings but the seed are"
        )
    for case in cases.both:
        for ask in (_speed, _quality, _divergence):
            asked, found, remarks = ask(case, thresholds, allowance)
            questions += asked
            problems += found
            notes += remarks
        problems += _failures(case)
    rows = tuple(judge(questions))
    problem = " ".join(dict.fromkeys(problems)) or None
    return Report(rows, overall(rows), {}, {}, tuple(dict.fromkeys(notes)), problem)


Asked = tuple[list[Question], list[str], list[str]]


def _speed(case: Case, thresholds: Thresholds, allowance: float | None) -> Asked:
    """Throughput and memory, of pairs that were timed under the same conditions."""
    pairs = [(case.base[s], case.head[s]) for s in case.seeds]
    with_speed = [(b, h) for b, h in pairs if b.speed and h.speed]
    if not with_speed:
        return [], [], []
    valid = [(b, h) for b, h in with_speed if b.timing_valid and h.timing_valid]
    notes: list[str] = []
    problems: list[str] = []
    if len(valid) < len(with_speed):
        left_out = len(with_speed) - len(valid)
        notes.append(f"{case.name}: {left_out} of {len(with_speed)} pairs have no valid timing.")
    gated = [m for m in _SPEED if math.isfinite(thresholds.of(case.name, m))]
    differs = _difference(with_speed)
    not_comparable: tuple[Verdict, str] | None = None
    if differs:
        message = f"{case.name}: speed and memory can't be compared: {differs}."
        (problems if gated else notes).append(message)
        not_comparable = ("inconclusive", f"Not comparable: {differs}.")
    questions = []
    in_turns = interleaved([(b.started_at, h.started_at) for b, h in valid])
    for metric, unit in _SPEED.items():
        used = valid if metric == "throughput" else with_speed
        both = [(b, h) for b, h in used if metric in b.speed and metric in h.speed]
        threshold, ruled = thresholds.of(case.name, metric), not_comparable
        apart = bool(both) and metric == "throughput" and not in_turns
        if apart and allowance is None and ruled is None:
            if thresholds.names(case.name, metric):
                ruled = ("inconclusive", NOT_IN_TURNS)
            else:
                threshold = math.inf
                notes.append(f"{case.name}: throughput is not gated. {NOT_IN_TURNS}")
        questions.append(
            Question(
                case=case.name,
                metric=metric,
                unit=unit,
                base=tuple(b.speed[metric] for b, _ in both),
                head=tuple(h.speed[metric] for _, h in both),
                direction="higher" if metric == "throughput" else "lower",
                threshold=threshold,
                allowance=allowance or 0.0 if apart else 0.0,
                ruled=ruled,
            )
        )
    return questions, problems, notes


def _quality(case: Case, thresholds: Thresholds, allowance: float | None) -> Asked:
    """Every metric of the pairs that completed, if both sides were measured alike."""
    pairs = [(case.base[s], case.head[s]) for s in case.seeds]
    done = [(b, h) for b, h in pairs if b.quality and h.quality]
    metrics = list(dict.fromkeys(m for b, h in done for m in b.quality if m in h.quality))
    differs = _measured_differently(done)
    questions, problems, notes = [], [], []
    for metric in metrics:
        direction, threshold = thresholds.better(metric), thresholds.of(case.name, metric)
        if direction is None:
            if math.isfinite(threshold):
                raise UsageError(
                    f"metric '{metric}' has a threshold, but nobody said which way is better: "
                    f'give a --thresholds file with [better] {metric} = "lower" or "higher"'
                )
            notes.append(f"{metric} is not shown: nobody said which way is better.")
            continue
        both = [(b, h) for b, h in done if _both_finite(metric, b, h)]
        if len(both) < len(done):
            notes.append(f"{case.name}: {metric} is no number in {len(done) - len(both)} pairs.")
        question = Question(
            case=case.name,
            metric=metric,
            unit="",
            base=tuple(b.quality[metric] for b, _ in both),
            head=tuple(h.quality[metric] for _, h in both),
            direction=direction,
            threshold=threshold,
            ruled=_ruled(both, metric, threshold, differs),
        )
        questions.append(question)
        if differs and math.isfinite(threshold):
            problems.append(f"{case.name}: {metric} can't be compared: {differs}.")
    return questions, problems, notes


def _ruled(pairs: Sequence[tuple[Run, Run]], metric: str, threshold: float, differs: str) -> Any:
    if differs:
        return "inconclusive", f"Not comparable: {differs}."
    same = pairs and all(
        b.weights_sha256 is not None
        and b.weights_sha256 == h.weights_sha256
        and b.quality[metric] == h.quality[metric]
        for b, h in pairs
    )
    return ("ok", "The weights are the same bits.") if same and math.isfinite(threshold) else None


def _divergence(case: Case, thresholds: Thresholds, allowance: float | None) -> Asked:
    """A rule, not a test: a seed that completes in base and diverges in head is a regression."""
    pairs = [(case.base[s], case.head[s]) for s in case.seeds]
    judged = [(b, h) for b, h in pairs if {b.status, h.status} <= {"completed", "diverged"}]
    counts = [sum(run.status == "diverged" for run in side) for side in zip(*judged, strict=True)]
    if not any(counts):
        return [], [], []
    new = [b.seed for b, h in judged if b.status == "completed" and h.status == "diverged"]
    seeds = ", ".join(map(str, new))
    reason = f"Diverges with seed {seeds}, which completes in base." if new else ""
    question = Question(
        case=case.name,
        metric="divergence",
        unit="runs",
        base=(float(counts[0]),),
        head=(float(counts[1]),),
        direction="lower",
        threshold=thresholds.of(case.name, "divergence"),
        ruled=("regressed", reason) if new else ("ok", "No seed diverges that did not in base."),
    )
    return [question], [], []


def _failures(case: Case) -> list[str]:
    """Runs that failed, by side: neither a regression nor a pass."""
    found = []
    for word, side in (("base", case.base), ("head", case.head)):
        for run in side.values():
            if run.status in ("failed", "interrupted"):
                why = f": {run.error}" if run.error else ""
                found.append(f"{case.name}: seed {run.seed} {run.status} in {word}{why}.")
    return found


def _difference(pairs: Sequence[tuple[Run, Run]]) -> str:
    """How the environments of the two sides differ, or ''."""
    sides = [[run.environment for run in side] for side in zip(*pairs, strict=True)]
    if not all(any(one.values()) for side in sides for one in side):
        return "a table does not say on which machine it was measured; give the results folders"
    return differing(sides, ENVIRONMENT, {})


def _measured_differently(pairs: Sequence[tuple[Run, Run]]) -> str:
    sides = [[run.measured_by for run in side] for side in zip(*pairs, strict=True)]
    if not sides:
        return ""
    in_all = set.intersection(*({*one} for side in sides for one in side)) or set()
    return differing(sides, sorted(in_all), {"n_fake": "n_samples"})


def differing(
    sides: Sequence[Iterable[Mapping[str, Any]]], keys: Sequence[str], called: Mapping[str, str]
) -> str:
    said = []
    for key in keys:
        base, head = (sorted({str(one.get(key)) for one in side}) for side in sides)
        if base != head or len(base) > 1:
            words = [" and ".join(value[:40] for value in values) for values in (base, head)]
            said.append(f"{called.get(key, key)} is {words[0]} in base, {words[1]} in head")
    return "; ".join(said)


def _both_finite(metric: str, *runs: Run) -> bool:
    return all(math.isfinite(run.quality.get(metric, math.nan)) for run in runs)


def _runs(case: Case) -> list[Run]:
    return [*case.base.values(), *case.head.values()]
