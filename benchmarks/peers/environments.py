"""An environment of its own for each peer, with this one's torch.

A peer's environment is a virtual environment that also sees this one's packages, through a .pth
file: torch is not installed again, all contenders run the same one, and what a peer needs beside it
stays out of here.
"""

from __future__ import annotations

import hashlib
import shutil
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / ".environments"
_TIMEOUT_S = 300


class NotInstallable(Exception):
    """Why a peer can't be had here, in a line."""


@dataclass(frozen=True)
class Environment:
    """What pip gets: packages with what they depend on, and packages without."""

    name: str
    packages: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()

    def python(self) -> str:
        """The environment's Python; it is made first where it is not there. Raises
        `NotInstallable`."""
        if not self.packages and not self.bare:
            return sys.executable
        wanted = repr((self.packages, self.bare, sys.version, _own_packages()))
        folder = FOLDER / f"{self.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                self._make(folder, python)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
                raise NotInstallable(_reason(error)) from error
            (folder / "installed").touch()
        return str(python)

    def _make(self, folder: Path, python: Path) -> None:
        print(f"installing {', '.join(self.bare + self.packages)} …", file=sys.stderr)
        _call([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        purelib = _call(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        ).strip()
        lines = [f"import site; site.addsitedir({path!r})" for path in _own_packages()]
        (Path(purelib) / "base.pth").write_text("\n".join(lines) + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        pip += ["--disable-pip-version-check"]
        if self.bare:
            _call([*pip, "--no-deps", *self.bare])
        if self.packages:
            _call([*pip, *self.packages])


def _own_packages() -> list[str]:
    return site.getsitepackages()


def _call(command: list[str]) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S
    ).stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
        return lines[-1].removeprefix("ERROR: ") if lines else f"exit code {error.returncode}"
    return str(error)
