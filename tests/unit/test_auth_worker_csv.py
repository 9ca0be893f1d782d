"""A directory as a CSV file: every line is good, or every bad one is named."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from wepeople_auth.worker_csv import Directory, read_workers


def read(text: str) -> Directory:
    return read_workers(io.StringIO(text, newline=""))


def people(directory: Directory) -> list[tuple[str, str]]:
    assert directory.bad_lines == []
    return [(worker.email, worker.name) for worker in directory.workers]


def bad(text: str) -> list[int]:
    return [bad_line.line for bad_line in read(text).bad_lines]


def test_emails_are_trimmed_and_case_folded_and_names_trimmed() -> None:
    assert people(read("email,name\n  Alex@ACME.com , Alex Doe \n")) == [("alex@acme.com", "Alex Doe")]


def test_columns_are_found_by_the_header_whatever_their_order_and_case() -> None:
    assert people(read("Name,Team,EMAIL\nAlex,Core,alex@acme.com\n")) == [("alex@acme.com", "Alex")]


def test_a_name_may_be_empty_and_hold_commas_and_line_breaks_of_the_file_do_not_matter() -> None:
    directory = read('email,name\r\na@acme.com,\r\n\r\nb@acme.com,"Doe, Jane"\r\n')
    assert people(directory) == [("a@acme.com", ""), ("b@acme.com", "Doe, Jane")]


def test_a_missing_header_is_named_as_line_one() -> None:
    assert bad("alex@acme.com,Alex\n") == [1]
    assert bad("email\nalex@acme.com\n") == [1]
    assert bad("") == [1]


def test_every_bad_line_is_named_by_its_number() -> None:
    text = "email,name\nalex@acme.com,Alex\nno address,B\n\n@acme.com,C\na b@acme.com,D\nonly@acme.com\n"
    assert bad(text) == [3, 5, 6, 7]


def test_a_line_after_a_cell_of_two_lines_keeps_its_own_number() -> None:
    assert bad('email,name,note\na@acme.com,A,"two\nlines"\nbad,B,\n') == [4]


def test_an_email_that_stands_twice_names_both_lines() -> None:
    [problem] = read("email,name\nalex@acme.com,A\nb@acme.com,B\n ALEX@acme.com,A2\n").bad_lines
    assert problem.line == 4
    assert "line 2" in problem.problem


def test_what_no_read_model_can_show_is_refused() -> None:
    assert bad("email,name\na@acme.com,A\0B\n") == [2]
    assert bad(f"email,name\na@acme.com,{'x' * 201}\n{'x' * 320}@acme.com,B\n") == [2, 3]


def test_a_broken_quote_is_named() -> None:
    assert bad('email,name\na@acme.com,A\nb@acme.com,"B"x\n') == [3]


_names = st.text(st.characters(exclude_categories=("C", "Z")), max_size=40)
_emails = st.from_regex(r"[a-z0-9]{1,10}@[a-z]{1,8}\.com", fullmatch=True)


@given(st.lists(st.tuples(_emails, _names), unique_by=lambda row: row[0], min_size=1, max_size=20))
def test_what_a_spreadsheet_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("email", "name"), *rows])
    assert people(read(written.getvalue())) == rows
