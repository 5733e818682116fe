"""An installation from what the user named: a Python, a folder, or a commit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ganbench.errors import GanbenchError, UsageError
from ganbench.perf.installations import Installation, python_at

__all__ = ["environment_key", "installation_of"]

# Files that say what an environment holds. Two commits that agree on them can share one.
_LOCKS = ("pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "poetry.lock", "pdm.lock",
          "pylock.toml", "requirements.txt")  # fmt: skip


@contextmanager
def installation_of(
    side: Literal["base", "head"],
    python: str | None,
    path: Path | None,
    ref: str | None,
    *,
    tree: bool = False,
) -> Iterator[Installation]:
    """The installation, with a commit checked out while the body runs.

    `tree`: with nothing named, measure the files of the repository here, not the packages of this
    Python. Raises `UsageError` for a folder or commit that is not there.
    """
    program = python_at(python, f"--{side}-python") if python else Path(sys.executable)
    if ref is not None and path is not None:
        raise UsageError(f"give --{side}-ref or --{side}-path, not both")
    if path is not None:
        if not path.is_dir():
            raise UsageError(f"--{side}-path is '{path}', which is not a folder")
        yield Installation(side, program, (path.resolve(),), str(path))
    elif ref is not None:
        repository = _repository()
        with _checked_out(repository, ref, f"--{side}-ref") as (commit, folder):
            own = python is None and environment_key(folder) != environment_key(repository)
            if own:
                program = _environment(side, folder, program)
            yield Installation(side, program, (_import_root(folder),), f"{ref} ({commit})")
    elif tree and python is None:
        repository = _repository()
        yield Installation(side, program, (_import_root(repository),), f"files in {repository}")
    else:
        yield Installation(side, program, (), str(program))


def environment_key(folder: Path) -> str:
    """A hash of what says which packages a checkout needs, and of this Python's version."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _LOCKS:
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes() + b"\0")
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise UsageError("git is not installed, which a commit needs") from None


def _repository() -> Path:
    found = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    if found.returncode:
        raise UsageError(
            "this folder is in no git repository: go to one, or name the sides with "
            "--base-python and --head-python"
        )
    return Path(found.stdout.strip())


@contextmanager
def _checked_out(repository: Path, ref: str, flag: str) -> Iterator[tuple[str, Path]]:
    """A worktree of the commit; its short name and folder."""
    commit = _git(repository, "rev-parse", "--verify", "--quiet", "--short", f"{ref}^{{commit}}")
    if commit.returncode:
        raise UsageError(
            f"{flag} is '{ref}', which is no commit of {repository}. In CI, fetch it first: a "
            "checkout may hold one commit only (actions/checkout: fetch-depth: 0)"
        )
    parent = Path(tempfile.mkdtemp(prefix="ganbench-perf-"))
    folder = parent / "tree"
    try:
        added = _git(repository, "worktree", "add", "--detach", str(folder), commit.stdout.strip())
        if added.returncode:
            raise GanbenchError(f"{flag} '{ref}' can't be checked out: {added.stderr.strip()}")
        yield commit.stdout.strip(), folder
    finally:
        _git(repository, "worktree", "remove", "--force", str(folder))
        shutil.rmtree(parent, ignore_errors=True)


def _import_root(folder: Path) -> Path:
    return folder / "src" if (folder / "src").is_dir() else folder


def _environment(side: str, folder: Path, python: Path) -> Path:
    """The Python of a virtual environment with what the checkout needs, made if it is not there.

    It sees the packages of `python` behind its own, so pip installs only what the checkout wants
    otherwise, and torch, where it satisfies both, is one and the same.
    """
    import platformdirs

    cache = Path(platformdirs.user_cache_dir("ganbench")) / "perf-environments"
    home = cache / environment_key(folder)[:16]
    program, complete = home / "bin" / "python", home / "complete"
    if complete.exists():
        return program
    shutil.rmtree(home, ignore_errors=True)
    print(f"installing what {side} needs into {home}", file=sys.stderr)
    _run([str(python), "-m", "venv", "--without-pip", str(home)])
    shared = _output([str(python), "-c", "import sys; print('\\n'.join(sys.path[1:]))"])
    own = _output([str(program), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    lines = [line for line in shared.splitlines() if line.endswith("-packages")]
    (Path(own.strip()) / "ganbench_shared.pth").write_text("\n".join(lines) + "\n")
    _run([str(program), "-m", "pip", "install", "--quiet", str(folder)])
    complete.touch()
    return program


def _run(command: list[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(command, capture_output=True, text=True, env=_clean())
        if done.returncode:
            raise GanbenchError(
                f"the environment can't be made: {' '.join(command)}\n{done.stderr.strip()}"
            )


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=_clean()).stdout


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
