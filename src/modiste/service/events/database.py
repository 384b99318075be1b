"""The two databases that events are kept in: how each is opened, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
)

from modiste.service.events.errors import EventStoreError, EventStoreUnavailableError

METADATA = sa.MetaData()

# Times are microseconds since 1970 in UTC: exact, and the same in both databases.
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("article_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("price", sa.Double),
    sa.Column("channel", sa.SmallInteger),
    sa.Index("events_of_customer", "customer_id", "time"),
    sa.Index("events_by_time", "time"),
)

# Whose data was erased, by a hash of the id, and when: nothing of before that may come back.
ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("customer_hash", sa.LargeBinary, primary_key=True),
    sa.Column("time", sa.BigInteger, nullable=False),
)


class _DeadlineConnection(psycopg.Connection[Any]):
    """A connection to PostgreSQL that is given up when no answer comes.

    A server that lost its disk, or stands behind a network that lost it, keeps neither to its own
    ``statement_timeout`` nor breaks the connection.
    """

    # The server itself gives up a statement before, if it can, and says why.
    seconds = 6.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Consume a generator operating on the connection."""
        try:
            return super().wait(gen, interval, timeout or self.seconds)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # whatever comes now would answer an earlier question
            raise psycopg.OperationalError(
                f"the server has not answered for {self.seconds:g} s"
            ) from error


class Database:
    """SQLite in a file, or PostgreSQL.

    Parameters
    ----------
    url
        ``postgresql://user@host/name``, ``sqlite:///file``, or the path of a file of SQLite.
    seconds
        For which a statement waits for a lock, and a connection for its server.

    Raises
    ------
    EventStoreError
        When the address names neither.
    """

    def __init__(self, url: str, seconds: float) -> None:
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.file = Path(parsed.database or "")
            self.engine = sa.create_engine(
                parsed, connect_args={"timeout": seconds}, hide_parameters=True
            )
            sa.event.listen(self.engine, "connect", _set_up_sqlite)
        else:
            milliseconds = int(seconds * 1_000)
            self.engine = sa.create_engine(
                parsed,
                connect_args={
                    "connect_timeout": max(2, int(seconds)),
                    "tcp_user_timeout": milliseconds,
                    "options": f"-c statement_timeout={milliseconds} -c synchronous_commit=on",
                },
                # A connection that a restart has cut is noticed before it is used.
                pool_pre_ping=True,
                pool_timeout=seconds,
                hide_parameters=True,
            )
            sa.event.listen(self.engine, "do_connect", partial(_connect, seconds))

    def check(self) -> None:
        """See that the tables are there.

        Raises
        ------
        EventStoreError
            When they are not, or cannot be reached.
        """
        shown = self._shown()
        if self.is_sqlite and not self.file.is_file():
            raise EventStoreError(f"there is no file {self.file}: name the store of a service")
        try:
            missing = METADATA.tables.keys() - set(sa.inspect(self.engine).get_table_names())
        except SQLAlchemyError as error:
            raise EventStoreError(
                f"the event store {shown} cannot be opened ({_cause(error)})"
            ) from error
        if missing:
            raise EventStoreError(
                f"{shown} is no event store (it has no table {min(missing)}): name a service's"
            )

    def create(self) -> None:
        """Create the tables where they are not there yet.

        Raises
        ------
        EventStoreError
            When that cannot be.
        """
        if self.is_sqlite and not self.file.parent.is_dir():
            raise EventStoreError(
                f"cannot keep events in {self.file}: there is no folder {self.file.parent}"
            )
        try:
            METADATA.create_all(self.engine)
        except SQLAlchemyError as error:
            raise EventStoreError(
                f"cannot keep events in {self._shown()} ({_cause(error)}): look at the address "
                "and at what lies there"
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One consistent view of the tables.

        Raises
        ------
        EventStoreUnavailableError
            When they cannot be read now.
        """
        with _available("read"), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def appending(self) -> Iterator[sa.Connection]:
        """A transaction that is on disk when the block has ended, beside which nothing is erased.

        Raises
        ------
        EventStoreUnavailableError
            When it cannot be written now; nothing of it is kept then.
        """
        with _available("written"), self.engine.begin() as connection:
            connection.exec_driver_sql(
                "BEGIN IMMEDIATE" if self.is_sqlite else "LOCK TABLE erasures IN SHARE MODE"
            )
            yield connection

    @contextmanager
    def erasing(self) -> Iterator[sa.Connection]:
        """A transaction beside which nothing is appended; then no deleted byte is kept in files.

        Raises
        ------
        EventStoreUnavailableError
            When it cannot be written now; nothing of it is done then.
        """
        with _available("written"):
            with self.engine.begin() as connection:
                connection.exec_driver_sql(
                    "BEGIN IMMEDIATE" if self.is_sqlite else "LOCK TABLE erasures IN EXCLUSIVE MODE"
                )
                yield connection
            self._clean()

    def _clean(self) -> None:
        """Take out of the files what was deleted."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                # Its pages are overwritten (secure_delete); earlier ones still lie in the log.
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            else:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("VACUUM events")

    def insert_new(self) -> sa.Insert:
        """An insert of events that leaves those alone whose id is there already."""
        if self.is_sqlite:
            return sqlite.insert(EVENTS).on_conflict_do_nothing(index_elements=["event_id"])
        return postgresql.insert(EVENTS).on_conflict_do_nothing(index_elements=["event_id"])

    def upsert_erasure(self) -> sa.Insert:
        """An insert of an erasure that replaces the time of an earlier one."""
        if self.is_sqlite:
            to_sqlite = sqlite.insert(ERASURES)
            return to_sqlite.on_conflict_do_update(
                index_elements=["customer_hash"], set_={"time": to_sqlite.excluded.time}
            )
        to_postgresql = postgresql.insert(ERASURES)
        return to_postgresql.on_conflict_do_update(
            index_elements=["customer_hash"], set_={"time": to_postgresql.excluded.time}
        )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _shown(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)


def _connect(
    seconds: float, _: sa.Dialect, __: object, arguments: list[Any], named: dict[str, Any]
) -> psycopg.Connection[Any]:
    connection = _DeadlineConnection.connect(*arguments, **named)
    connection.seconds = seconds + 1
    return connection


def _parsed(url: str) -> sa.URL:
    if "://" not in url:
        return sa.URL.create("sqlite", database=url)
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise EventStoreError("the address of the event store cannot be read: " + _FORMS) from error
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise EventStoreError(
        f"events cannot be kept in {parsed.render_as_string(hide_password=True)}: {_FORMS}"
    )


_FORMS = "give a file's path, sqlite:///FILE or postgresql://USER@HOST/NAME"


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # Transactions are begun by statements of ours alone.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        # Each commit waits until the log is on the disk, not only handed to the system.
        "synchronous = FULL",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _available(what: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise EventStoreUnavailableError(
            f"the event store cannot be {what} now ({_cause(error)})"
        ) from error


def _cause(error: SQLAlchemyError) -> str:
    """What the database said, where that has no values of events in it."""
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError | DataError):
        return " ".join(str(error.orig).split())
    return type(error).__name__
