"""scripts/link_installed.py: a second environment from the files of this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pluggy

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "link_installed.py"


def test_another_version_that_is_there_is_left_as_it_is(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    python = str(tmp_path / "bin" / "python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", ask], text=True).strip())
    (site / "packaging").mkdir()
    (site / "packaging" / "__init__.py").write_text("__version__ = '0.1'\n")
    (site / "packaging-0.1.dist-info").mkdir()
    (site / "packaging-0.1.dist-info" / "METADATA").write_text("Name: packaging\nVersion: 0.1\n")

    subprocess.run([sys.executable, SCRIPT, tmp_path, "packaging", "pluggy"], check=True)

    assert [path.name for path in (site / "packaging").iterdir()] == ["__init__.py"]
    assert not list(site.glob("packaging-2*"))
    show = "import pluggy, packaging; print(pluggy.__version__, packaging.__version__)"
    said = subprocess.check_output([python, "-c", show], text=True).split()
    assert said == [pluggy.__version__, "0.1"]
