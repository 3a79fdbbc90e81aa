"""The database of views lends connections: each question its own, or many questions one commit."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from deploymark.projections.database import Views, open_views


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    opened = open_views(tmp_path / "views.db")
    with opened.writing() as connection:
        connection.execute(text("CREATE TABLE seen (number INTEGER)"))
    opened.admit_readers()
    yield opened
    opened.close()


def _count(views: Views) -> int:
    with views.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM seen")).scalar_one())


def _add(views: Views) -> None:
    with views.writing() as connection:
        connection.execute(text("INSERT INTO seen VALUES (1)"))


def test_many_questions_see_one_commit_when_they_are_asked_together(views: Views) -> None:
    with views.one_commit():
        assert _count(views) == 0
        _add(views)
        assert _count(views) == 0
    assert _count(views) == 1


def test_only_the_thread_that_asked_for_one_commit_sees_it(views: Views) -> None:
    found: list[int] = []
    with views.one_commit():
        assert _count(views) == 0
        _add(views)
        other = Thread(target=lambda: found.append(_count(views)))
        other.start()
        other.join()
    assert found == [1]


def test_an_error_ends_the_one_commit(views: Views) -> None:
    def fail() -> None:
        with views.one_commit():
            assert _count(views) == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    _add(views)
    assert _count(views) == 1


def test_whoever_waits_for_the_tables_is_told_when_they_are_there(tmp_path: Path) -> None:
    views = open_views(tmp_path / "views.db")
    assert not views.wait_for_tables(0)
    waiting = Thread(target=views.admit_readers)
    waiting.start()
    assert views.wait_for_tables(30)
    waiting.join()
    views.close()
