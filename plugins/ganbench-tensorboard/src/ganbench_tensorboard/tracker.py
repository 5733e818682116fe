"""The tracker that writes TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from ganbench.protocols import Snapshot
from ganbench.record import RunRecord
from ganbench.spec import RunSpec

__all__ = ["TensorBoard"]


class TensorBoard:
    """Losses and speed while a run goes on; its spec, metrics, pictures and record at its end.

    Each run has a folder of its own under `logdir`: tensorboard --logdir FOLDER.
    """

    def __init__(self, logdir: str = "results/tensorboard") -> None:
        self.logdir = Path(logdir)
        self.run_id = ""
        self.writer: SummaryWriter | None = None

    def run_start(self, spec: RunSpec, run_id: str) -> None:
        self.run_id = run_id
        self.writer = None

    def progress(self, snapshot: Snapshot) -> None:
        writer = self._writer(snapshot.step)
        for name, value in snapshot.terms.items():
            writer.add_scalar(f"loss/{name}", value, snapshot.step)
        writer.add_scalar("speed/steps_per_s", snapshot.steps_per_s, snapshot.step)
        writer.add_scalar("progress/nimg", snapshot.nimg, snapshot.step)

    def run_end(self, record: RunRecord, folder: Path) -> None:
        self.run_id = record.run_id
        step = record.steps_done
        writer = self._writer(step)
        writer.add_text("spec", _as_code(record.spec.model_dump_json(indent=2)), step)
        writer.add_text("record", _as_code(record.model_dump_json(indent=2)), step)
        writer.add_text("status", record.error or record.status, step)
        for name, value in (record.evaluated.values if record.evaluated else {}).items():
            writer.add_scalar(f"metric/{name}", value, step)
        if record.throughput:
            known = record.throughput.model_dump(exclude_none=True)
            for name, value in known.items():
                writer.add_scalar(f"throughput/{name}", value, step)
        if (folder / "samples.png").is_file():
            with Image.open(folder / "samples.png") as samples:
                pixels = np.asarray(samples.convert("RGB"))
            writer.add_image("samples", pixels, step, dataformats="HWC")
        writer.close()
        self.writer = None

    def _writer(self, step: int) -> SummaryWriter:
        """Opened at the first step there is something to say about: what an earlier attempt at the
        same run wrote from that step on is hidden, so that a continued run has one line."""
        if self.writer is None:
            folder = self.logdir / self.run_id
            self.writer = SummaryWriter(str(folder), purge_step=step)
        return self.writer


def _as_code(text: str) -> str:
    """TensorBoard shows text as Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())
