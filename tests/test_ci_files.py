"""The CI files, read as YAML and run command by command in a temporary clone.

What only GitHub or GitLab can do is stood in for: `uses:` steps, pip (the clone's packages are
those of this Python), `gh`, which writes down what it was asked, and expressions, from a table.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganbench.gate.json_report import from_json

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/performance.yml").read_text("utf-8"))
ACTION = yaml.safe_load((ROOT / ".github/actions/performance/action.yml").read_text("utf-8"))
GITLAB = yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text("utf-8"))
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
QUICK = {"MAX_TIME": "5", "SEEDS": "0 1", "STEPS": "20"}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


class Runner:
    """A clone of this checkout with a remote of its own, and the programs of a runner."""

    def __init__(self, folder: Path, event: str) -> None:
        self.clone, self.bin, self.out = folder / "clone", folder / "bin", folder / "out"
        for made in (self.bin, self.out):
            made.mkdir(parents=True)
        git(ROOT, "clone", "--quiet", "--bare", str(ROOT), str(folder / "origin.git"))
        git(folder, "clone", "--quiet", str(folder / "origin.git"), str(self.clone))
        self.copy_uncommitted()
        git(self.clone, "config", "user.name", "someone")
        git(self.clone, "config", "user.email", "someone@example.org")
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", "a change")
        python = f'exec "{sys.executable}" "$@"'
        program(self.bin / "python", f'if [ "$2" = pip ]; then exit 0; fi\n{python}')
        program(self.bin / "ganbench", f'exec "{sys.executable}" -m ganbench "$@"')
        program(self.bin / "gh", f'echo "$@" >> "{self.out}/gh"')
        self.values: dict[str, str] = {
            "github.event_name": event,
            "github.event.pull_request.base.sha": git(self.clone, "rev-parse", "HEAD~1"),
            "github.event.pull_request.number": "7",
            "github.repository": "someone/something",
            "github.token": "",
        }
        self.environment = {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.clone),
            "OMP_NUM_THREADS": "1",
            "GITHUB_OUTPUT": str(self.out / "output"),
            "GITHUB_STEP_SUMMARY": str(self.out / "summary"),
        }
        self.used: list[str] = []
        self.shown = ""

    def copy_uncommitted(self) -> None:
        """What is tested is this checkout as it is, not its last commit."""
        changed = git(ROOT, "ls-files", "--modified", "--others", "--exclude-standard")
        for name in filter(None, changed.splitlines()):
            if (ROOT / name).is_file():
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                (self.clone / name).write_bytes((ROOT / name).read_bytes())

    def filled(self, text: object) -> str:
        return EXPRESSION.sub(lambda found: self.values[found.group(1)], str(text))

    def holds(self, condition: str) -> bool:
        """`a == 'b' && c == 'd'`, which is all that these files use."""
        pairs = [part.split(" == ") for part in condition.split(" && ")]
        return all(self.values[name.strip()] == value.strip(" '") for name, value in pairs)

    def job(self, job: dict[str, Any]) -> int:
        """Run a job's steps; the exit code of the first that fails, else 0."""
        assert self.holds(job["if"])
        env = {**WORKFLOW["env"], **QUICK}
        self.values |= {f"env.{key}": value for key, value in env.items()}
        return self.steps(job["steps"], env)

    def steps(self, steps: list[dict[str, Any]], env: dict[str, str]) -> int:
        for step in steps:
            code = self.step(step, env) if "if" not in step or self.holds(step["if"]) else 0
            if code:
                return code
        return 0

    def step(self, step: dict[str, Any], env: dict[str, str]) -> int:
        if step.get("uses", "").startswith("./"):
            given = {key: self.filled(value) for key, value in step["with"].items()}
            for name, one in ACTION["inputs"].items():
                assert name in given or not one.get("required"), f"input {name} is not given"
                self.values[f"inputs.{name}"] = given.get(name, self.filled(one.get("default", "")))
            assert given.keys() <= ACTION["inputs"].keys()
            return self.steps(ACTION["runs"]["steps"], env)
        if "uses" in step:
            self.used.append(step["uses"])
            return 0
        own = {key: self.filled(value) for key, value in step.get("env", {}).items()}
        assert "${{" not in step["run"], "expressions belong into env, where a shell quotes them"
        code = self.shell(step["run"], {**env, **own})
        outputs = self.out / "output"
        if outputs.exists() and "id" in step:
            for line in outputs.read_text().splitlines():
                name, _, value = line.partition("=")
                self.values[f"steps.{step['id']}.outputs.{name}"] = value
        return code

    def shell(self, text: str, env: dict[str, str]) -> int:
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=self.clone,
            env={**self.environment, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        self.shown += done.stdout
        return done.returncode


@pytest.fixture
def runner(tmp_path):
    def made(event: str) -> Runner:
        return Runner(tmp_path, event)

    return made


def commands() -> list[tuple[str, str]]:
    """Every shell text of the three files, with where it stands."""
    found = [
        (f"workflow, {name}", step["run"])
        for name, job in WORKFLOW["jobs"].items()
        for step in job["steps"]
        if "run" in step
    ]
    found += [("action", step["run"]) for step in ACTION["runs"]["steps"] if "run" in step]
    return [*found, ("GitLab", "\n".join(GITLAB["performance"]["script"]))]


@pytest.mark.parametrize(("where", "text"), commands())
def test_every_command_is_a_posix_shells(where, text):
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{where}: {done.stderr}"


@pytest.mark.parametrize(("where", "text"), commands())
def test_every_flag_of_ganbench_in_them_exists(where, text):
    import typer

    from ganbench.cli import app

    root = typer.main.get_command(app)
    joined = re.sub(
        r"\$\([^)]*\)", "", text.replace("\\\n", " ")
    )  # not what other programs are told
    for words in re.findall(r"^\s*(?:- )?ganbench (.+)$", joined, re.MULTILINE):
        command, path = root, words.split()
        while hasattr(command, "commands") and path[0] in command.commands:
            command = command.commands[path.pop(0)]
        flags = {word for word in path if word.startswith("--")}
        known = {name for parameter in command.params for name in parameter.opts}
        assert flags <= known, f"{where}: {flags - known}"


@pytest.mark.parametrize(
    ("code", "inconclusive", "expected"),
    [("0", "warn", 0), ("3", "warn", 3), ("4", "warn", 0), ("4", "fail", 4), ("1", "warn", 1)],
)
def test_the_action_fails_as_the_verdict_says(code, inconclusive, expected):
    step = ACTION["runs"]["steps"][-1]
    env = {**os.environ, "CODE": code, "INCONCLUSIVE": inconclusive}
    done = subprocess.run(["sh", "-e", "-c", step["run"]], env=env, capture_output=True)
    assert done.returncode == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_job_of_a_pull_request_runs_measures_and_comments(runner):
    one = runner("pull_request")
    code = one.job(WORKFLOW["jobs"]["compare"])
    measured = one.values["steps.measure.outputs.exit-code"]
    assert measured in {"0", "4"}, one.shown  # equal code: never regressed, never failed
    assert code == 0, one.shown
    report = from_json((one.clone / "performance-report/report.json").read_text())
    assert str(report.exit_code) == measured
    assert "actions/upload-artifact@v4" in one.used
    assert "<!-- ganbench -->" in (one.out / "summary").read_text()
    asked = (one.out / "gh").read_text()
    assert "--method POST repos/someone/something/issues/7/comments" in asked


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_job_of_a_push_keeps_history_on_its_branch_and_adds_to_it(runner):
    one = runner("push")
    for expected in (1, 2):
        assert one.job(WORKFLOW["jobs"]["history"]) == 0, one.shown
        git(one.clone, "worktree", "remove", "--force", "history")
        branch = "origin/performance-history"
        git(one.clone, "fetch", "--quiet", "origin")
        assert git(one.clone, "rev-list", "--count", branch) == str(expected)
        names = git(one.clone, "ls-tree", "--name-only", branch).splitlines()
        assert names == ["performance-history.jsonl", "performance-history.svg"]
        git(one.clone, "commit", "--quiet", "--allow-empty", "-m", "another")
    lines = git(one.clone, "show", f"{branch}:performance-history.jsonl").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["metric"] for row in rows} >= {"fid", "peak_memory"}
    assert len({row["commit"] for row in rows}) == 2
    assert {row["n"] for row in rows} == {2}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_gitlabs_job_runs(runner):
    one, job = runner("pull_request"), GITLAB["performance"]
    base = one.values["github.event.pull_request.base.sha"]
    env = {**job["variables"], **QUICK, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
    code = one.shell("\n".join(job["script"]), env)
    assert code in {0, *job["allow_failure"]["exit_codes"]}, one.shown
    assert (one.clone / "performance-report/junit.xml").is_file()
