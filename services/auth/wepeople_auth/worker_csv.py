"""Reading a directory from a CSV file: all of it good, or every bad line named."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wepeople_auth.directory.facts import checked_email
from wepeople_auth.names import checked_name
from wepeople_chassis.rpc import Refused
from wepeople_contracts.operators import ImportedWorker

COLUMNS = ("email", "name")
MAX_NAME_CHARACTERS = 200
MAX_EMAIL_CHARACTERS = 320


@dataclass(frozen=True, slots=True)
class BadLine:
    """What is wrong with one line of the file; lines count from 1, the header's."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class Directory:
    """The people of a file, in its order; they are to be imported only when `bad_lines` is empty."""

    workers: list[ImportedWorker]
    bad_lines: list[BadLine]


def read_workers(lines: Iterable[str]) -> Directory:
    """Read a CSV file with the columns `email` and `name` in its header, in any order, others ignored."""
    reader = csv.reader(lines, strict=True)
    workers: list[ImportedWorker] = []
    bad_lines: list[BadLine] = []
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if missing := [column for column in COLUMNS if column not in header]:
            problem = f"the header lacks {' and '.join(missing)}; the first line must name the columns: email,name"
            return Directory([], [BadLine(1, problem)])
        seen: dict[str, int] = {}
        for line, cells in _lines(reader):
            try:
                worker = _worker(header, cells)
                if (earlier := seen.setdefault(worker.email, line)) != line:
                    raise ValueError(f"{worker.email} stands already in line {earlier}")
                workers.append(worker)
            except ValueError as problem:
                bad_lines.append(BadLine(line, str(problem)))
    except csv.Error as error:
        bad_lines.append(BadLine(reader.line_num, f"not CSV: {error}"))
    return Directory(workers, bad_lines)


def _lines(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not blank, with the number of the line it begins on."""
    begins = 2
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1  # type: ignore[attr-defined]


def _worker(header: list[str], cells: list[str]) -> ImportedWorker:
    """One line's worker; `ValueError` says what is wrong."""
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells where the header has {len(header)}; put a cell with a comma in quotes")
    values = dict(zip(header, cells, strict=True))
    try:
        email, name = checked_email(values["email"]), checked_name(values["name"], "name")
    except Refused as refused:
        raise ValueError(refused.error.message) from None
    if len(email) > MAX_EMAIL_CHARACTERS:
        raise ValueError(f"an email of {len(email)} characters; {MAX_EMAIL_CHARACTERS} is the most")
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"a name of {len(name)} characters; {MAX_NAME_CHARACTERS} is the most")
    return ImportedWorker(email=email, name=name)
