"""The index of a results folder: what its records hold, in one Parquet file.

A folder of many runs is slow to read file by file, so what tables and statistics need of each
record is kept in `<out>/index.parquet`, under the record's mtime, size and inode. Reading asks the
file system for these and opens only the records that are new or changed. The index is derived and
trusted no further than that: one that is missing, torn or of another version is rebuilt, and a
writer that loses a race only costs somebody a second reading. There is no lock.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import from_json

from ganbench.errors import UsageError
from ganbench.files import write_atomically
from ganbench.record import RunRecord

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["INDEX", "Stamp", "Summary", "present", "summaries", "summary_of"]

log = logging.getLogger("ganbench")

INDEX = "index.parquet"
Summary: TypeAlias = "Mapping[str, Any]"
"""A record as JSON has it, without its components and its environment."""
Stamp: TypeAlias = "tuple[int, int, int]"
"""mtime in ns, size and inode of a record.json. A record that is written anew has another inode."""

_VERSION = b"1"
_LEFT_OUT = {"components", "environment"}
_WORTH_AN_INDEX = 1000  # records; fewer are read about as fast as an index is
_NOT_WORTH_WRITING = 100  # so many new records, or a hundredth of all, are read again next time
_AT_ONCE = 16  # a network file system answers many requests in the time of one
_BATCH = 500
_SLOW_S = 2e-4  # of waiting a name: more than a local disk whose files are in memory


def summary_of(record: RunRecord) -> Summary:
    summary: Summary = from_json(_slim(record))
    return summary


def summaries(out: Path) -> Iterator[Summary]:
    """Every record under `out`, by run_id; one that can't be read is reported and left out.

    Raises nothing for what the index holds or lacks.
    """
    stamps = present(out)
    known = _load(out) if len(stamps) >= _WORTH_AN_INDEX else None
    at = _rows_that_hold(known, stamps)
    fresh = dict(_read(out, [name for name in stamps if name not in at]))
    gone = (known.num_rows if known is not None else 0) - len(at)
    if len(stamps) >= _WORTH_AN_INDEX and _worth_writing(len(fresh) + gone, len(stamps)):
        known = _merged(known, at, fresh, stamps)
        at, fresh = {name: i for i, name in enumerate(known["name"].to_pylist())}, {}
        _save(out, known)
    texts = known["record"] if known is not None else None
    for name in sorted({*at, *fresh}):
        text = fresh[name] if name in fresh else texts[at[name]].as_py()  # type: ignore[index]
        yield from_json(text)


def present(out: Path) -> Mapping[str, Stamp]:
    """The run folders that hold a record, with what tells one state of it from another."""
    runs = str(out / "runs")
    try:
        with os.scandir(runs) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return {}

    def stamps(some: list[str]) -> list[tuple[str, Stamp]]:
        found = []
        for name in some:
            try:
                status = os.stat(f"{runs}/{name}/record.json")
            except OSError:
                continue
            found.append((name, (status.st_mtime_ns, status.st_size, status.st_ino)))
        return found

    return dict(_in_batches(stamps, names))


def _read(out: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """The slim text of each record that can be read."""

    def texts(some: list[str]) -> list[tuple[str, str]]:
        found = []
        for name in some:
            try:
                found.append((name, _slim(RunRecord.load(out / "runs" / name))))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, UsageError) as error:
                file = out / "runs" / name / "record.json"
                log.warning("%s can't be read and is left out: %s", file, error)
        return found

    return _in_batches(texts, names)


def _in_batches(work: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    """`work` on some names at a time: one after the other, or, where a file system is slow to
    answer, many at once. Threads that do not wait for it would wait for one another."""
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    if not batches:
        return
    first, *rest = batches
    waited = _waited_s()
    found = work(first)
    slow = _waited_s() - waited > _SLOW_S * len(first)
    yield from found
    if rest and slow:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for found in pool.map(work, rest):
                yield from found
        return
    for batch in rest:
        yield from work(batch)


def _waited_s() -> float:
    """A clock that stands still while this process computes."""
    return time.perf_counter() - time.process_time()


def _slim(record: RunRecord) -> str:
    return record.model_dump_json(exclude=_LEFT_OUT)


def _load(out: Path) -> pa.Table | None:
    """The index, or None if there is none that can be used. Never raises."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(out / INDEX, memory_map=False, partitioning=None)
        metadata = table.schema.metadata or {}
        if metadata.get(b"ganbench") == _VERSION and table.schema.equals(_schema()):
            return table
        log.info("%s is of another version and is made again", out / INDEX)
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError, ValueError) as error:
        log.info("%s can't be read and is made again: %s", out / INDEX, error)
    return None


def _save(out: Path, table: pa.Table) -> None:
    """Replace the index, if it can be: without one, the next reader reads the records."""
    import pyarrow.parquet as pq

    try:
        write_atomically(out / INDEX, lambda to: pq.write_table(table, to, compression="zstd"))
    except OSError as error:
        log.info("%s can't be written: %s", out / INDEX, error.strerror or error)


def _schema() -> pa.Schema:
    import pyarrow as pa

    stamp = [(field, pa.int64()) for field in ("mtime_ns", "size", "inode")]
    fields = [("name", pa.string()), *stamp, ("record", pa.large_string())]
    return pa.schema(fields, metadata={b"ganbench": _VERSION})


def _rows_that_hold(known: pa.Table | None, stamps: Mapping[str, Stamp]) -> dict[str, int]:
    """Where in the index each record is that has not changed since."""
    if known is None:
        return {}
    columns = [known[field].to_pylist() for field in ("name", "mtime_ns", "size", "inode")]
    rows = enumerate(zip(*columns, strict=True))
    return {name: i for i, (name, *stamp) in rows if stamps.get(name) == tuple(stamp)}


def _worth_writing(changed: int, total: int) -> bool:
    return changed > max(_NOT_WORTH_WRITING, total // 100)


def _merged(
    known: pa.Table | None,
    at: Mapping[str, int],
    fresh: Mapping[str, str],
    stamps: Mapping[str, Stamp],
) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*(stamps[name] for name in fresh), strict=True)) or [(), (), ()]
    new = pa.table([[*fresh], *columns, [*fresh.values()]], schema=_schema())
    if known is None or not at:
        return new
    return pa.concat_tables([known.take(pa.array(sorted(at.values()))), new])
