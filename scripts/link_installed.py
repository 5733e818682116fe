"""Give a fresh environment what this one has: python scripts/link_installed.py PREFIX NAME…

Each distribution NAME, and all that it requires, appears in the environment at PREFIX as pip would
have put it there, but by hard links where the file system has them: torch in a second. What pip
installs there later is checked against it as ever. Commands (bin/) are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: list[str]) -> dict[str, Distribution]:
    """The named distributions and everything that they require here, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # pip will say what is missing
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def link(dist: Distribution, site: Path) -> None:
    """Put the distribution's files under `site`, unless one of that name is there: two versions'
    files would be neither."""
    if next(distributions(name=dist.name, path=[str(site)]), None) is not None:
        return
    for file in dist.files or ():
        source, target = Path(str(dist.locate_file(file))), site / file
        if ".." in file.parts or target.exists() or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)


def main(prefix: Path, names: list[str]) -> None:
    ask = "import sys, sysconfig; print(sys.version_info[:2]); print(sysconfig.get_path('purelib'))"
    told = subprocess.check_output([prefix / "bin" / "python", "-c", ask], text=True).splitlines()
    version, site = told
    if version != str(sys.version_info[:2]):
        sys.exit(f"{prefix} has Python {version}, not {sys.version_info[:2]}: nothing to share")
    for dist in closure(names).values():
        link(dist, Path(site))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
