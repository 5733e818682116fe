"""Plant a wrong weight in a loss and let `ganbench compare` find it by its FID.

    python scripts/planted_fid.py [--seeds 24] [--first-seed 200] [--out DIR]

Three versions of one plugin are trained with the same settings and seeds: as it should be,
rewritten so that rounding differs but not the mathematics, and with a weight of 0.75 where 1
belongs. The runs are short: in their first 40 steps two runs of a seed share most of their path, so
that 2 % of FID shows over two dozen seeds. Weight, steps and threshold were chosen on seeds below
200; those from 200 on, the default, were fresh then.

Exits with 0 if the rewritten one is ok and the wrong one is regressed, named fid.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PLUGIN = '''
from torch.nn.functional import logsigmoid, softplus
from ganbench import hookimpl


class Planted:
    """The non-saturating loss."""

    def d_loss(self, discriminator, x_real, x_fake):
        real, fake = softplus(-discriminator(x_real)), softplus(discriminator(x_fake))
        return {{"planted": real.mean() + fake.mean()}}

    def g_loss(self, discriminator, x_real, x_fake):
        return {{"planted": {g_loss}}}


@hookimpl
def ganbench_losses():
    return {{"planted": Planted}}
'''
VERSIONS = {
    "base": "softplus(-discriminator(x_fake)).mean()",
    "rewritten": "-logsigmoid(discriminator(x_fake)).mean()",
    "wrong": "0.75 * softplus(-discriminator(x_fake)).mean()",
}
SETTINGS = {
    "loss": "planted",
    "opt": "sgd",
    "steps": 40,
    "batch_size": 32,
    "n_samples": 500,
    "metrics": "fid",
    "threads": 1,
    "device": "cpu",
}
TRAIN = """
import sys, warnings
warnings.simplefilter("ignore")
from ganbench.discovery import use_local_plugins
use_local_plugins([sys.argv[1]])
import json, ganbench
settings = json.loads(sys.argv[3])
for seed in range(int(sys.argv[4]), int(sys.argv[5])):
    record = ganbench.run(ganbench.RunSpec(**settings, seed=seed), sys.argv[2])
    print(sys.argv[2], seed, record.status, record.evaluated.values, file=sys.stderr, flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="planted-fid-"))
    for name, g_loss in VERSIONS.items():
        train(out, name, g_loss, options.first_seed, options.seeds)
    verdicts = {name: compare(out, name) for name in ("rewritten", "wrong")}
    found = verdicts == {"rewritten": (0, []), "wrong": (3, ["fid"])}
    print(f"{options.seeds} seeds: {'as it should be' if found else f'NOT FOUND: {verdicts}'}")
    return 0 if found else 1


def train(out: Path, name: str, g_loss: str, first: int, seeds: int) -> None:
    """All seeds of one version, in a process of their own."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    plugin = folder / "planted.py"
    plugin.write_text(PLUGIN.format(g_loss=g_loss))
    arguments = [str(plugin), str(folder), json.dumps(SETTINGS), str(first), str(first + seeds)]
    subprocess.run([sys.executable, "-c", TRAIN, *arguments], check=True)


def compare(out: Path, name: str) -> tuple[int, list[str]]:
    """The exit code, and the figures that regressed. The report is printed too."""
    gates = ["--fail-above", "fid=0.5%,throughput=off,peak_memory=off"]
    command = [sys.executable, "-m", "ganbench", "compare", str(out / "base"), str(out / name)]
    print(f"== base against {name}", flush=True)
    subprocess.run([*command, *gates], check=False)
    done = subprocess.run([*command, *gates, "--json"], capture_output=True, text=True)
    rows = json.loads(done.stdout)["rows"]
    return done.returncode, [row["metric"] for row in rows if row["verdict"] == "regressed"]


if __name__ == "__main__":
    sys.exit(main())
