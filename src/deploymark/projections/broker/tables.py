"""The tables of the broker in the views' database. What they hold is said by the columns.

Keys begin with the scope: one service in one environment. `broker_scope` and `broker_witness` are
what a scope goes on from (`scope`); everything else is there to be read.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
)

METADATA: Final = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")

SCOPE: Final = Table(
    "broker_scope",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("settled", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
WITNESS: Final = Table(
    "broker_witness",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
RUN: Final = Table(
    "broker_run",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind_key", Text, primary_key=True),  # "" for a deployment, else kind:key
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("action", Text),
    Column("opened_ms", BigInteger, nullable=False),
    Column("live_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("last_ms", BigInteger, nullable=False),
    Column("last_index", BigInteger, nullable=False),
    Column("production", Integer, nullable=False),
    Column("settled_ms", BigInteger),  # what came of a deployment: see `settling`
    Column("settled_index", BigInteger),
    Column("failed_index", BigInteger),
    Column("undone_ms", BigInteger),
    Column("undone_index", BigInteger),
    Column("returns", Text),
    Column("watch", Integer, nullable=False),  # 1: it stands, so time can still be wrong with it
    Column("document", Text, nullable=False),
    Column("content", LargeBinary),  # the run itself, once its scope has forgotten it
    sqlite_with_rowid=False,
)
Index("broker_run_by_time", RUN.c.opened_ms)
Index("broker_run_by_id", RUN.c.id)
Index("broker_run_by_scope", RUN.c.service, RUN.c.environment, RUN.c.opened_ms)
Index("broker_run_by_state", RUN.c.state, RUN.c.opened_ms)
# With every column that the outcomes are counted from (the key is part of each index): rows are
# long with their documents, and a week has many.
Index(
    "broker_run_settled",
    *(RUN.c[name] for name in ("settled_ms", "settled_index", "production", "returns")),
    *(RUN.c[name] for name in ("failed_index", "undone_ms", "undone_index", "opened_ms")),
    sqlite_where=RUN.c.settled_ms.is_not(None),
)
Index(
    "broker_run_returns",
    RUN.c.returns,
    sqlite_where=RUN.c.returns.is_not(None),
)
Index(
    "broker_run_watched",
    RUN.c.watch,
    RUN.c.service,
    RUN.c.environment,
    RUN.c.last_ms,
    sqlite_where=RUN.c.watch == 1,
)
FORGOTTEN: Final = "broker_run_forgotten"
Index(
    FORGOTTEN,
    RUN.c.service,
    RUN.c.environment,
    RUN.c.kind_key,
    RUN.c.ended_ms,
    sqlite_where=RUN.c.content.is_not(None),
)

ALIAS: Final = Table(
    "broker_alias",
    METADATA,
    Column("alias", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
Index("broker_alias_by_run", ALIAS.c.service, ALIAS.c.environment, ALIAS.c.id)
GROUP: Final = Table(
    "broker_group",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("equal", Integer),  # 1, 0, or null when no digest is known
)
Index("broker_group_by_run", GROUP.c.id, GROUP.c.number)
INSTANCE: Final = Table(
    "broker_instance",
    METADATA,
    Column("service", Text),
    Column("environment", Text),
    Column("uid", Text),
    Column("instance", Text),
    Column("cluster", Text),
    Column("region", Text),
    Column("zone", Text),
    Column("node", Text),
    Column("namespace", Text),
    Column("workload", Text),
    Column("track", Text),
    Column("digest", Text),
    Column("basis", Text),
    Column("first_ms", BigInteger),
    Column("last_ms", BigInteger, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("gone_ms", BigInteger),
    Column("replaced", Integer, nullable=False),  # 1: a newer uid runs under its name
    Column("main", BigInteger),  # the group that says which run it is of
    Column("named", Text, nullable=False),  # JSON: when each of these was said last, or first
    Column("declared", BigInteger),  # its group on each basis
    Column("self_observed", BigInteger),
    Column("observed", BigInteger),
    # The uid first: a key that began with the service would be taken for the index of all questions
    # about a service, and lead through every instance that it ever had.
    PrimaryKeyConstraint("uid", "service", "environment"),
    sqlite_with_rowid=False,
)
Index("broker_instance_by_name", INSTANCE.c.service, INSTANCE.c.environment, INSTANCE.c.instance)
Index("broker_instance_by_run", INSTANCE.c.main)
Index(
    "broker_instance_running",
    INSTANCE.c.service,
    INSTANCE.c.environment,
    sqlite_where=and_(INSTANCE.c.gone_ms.is_(None), INSTANCE.c.replaced == 0),
)
FINDING: Final = Table(
    "broker_finding",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("code", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("origin", Text, nullable=False),  # run, emitter, counted, watcher
    Column("service", Text),
    Column("environment", Text),
    Column("deployment_id", Text),  # id~number
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("broker_finding_by_time", FINDING.c.opened_ms)
Index("broker_finding_open", FINDING.c.closed_ms, FINDING.c.opened_ms)
Index("broker_finding_by_scope", FINDING.c.service, FINDING.c.environment, FINDING.c.opened_ms)
Index("broker_finding_by_run", FINDING.c.deployment_id)
RULING: Final = Table(
    "broker_ruling",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("occurrence", Integer),
    Column("service", Text),
    Column("environment", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("proves", Text),  # what it makes of a state: see `rulings.Proof`; null: nothing
    Column("document", Text, nullable=False),
)
Index("broker_ruling_by_run", RULING.c.deployment, RULING.c.type, RULING.c.idx)
Index("broker_decision", RULING.c.action, RULING.c.idx, sqlite_where=RULING.c.type == "decision")
_FAILED = and_(RULING.c.type == "verdict", RULING.c.result == "fail")
Index("broker_failed", RULING.c.environment, RULING.c.idx, sqlite_where=_FAILED)
_PROVING = RULING.c.proves.is_not(None)
Index(
    "broker_ruling_proving",
    RULING.c.deployment,
    RULING.c.occurrence,
    RULING.c.type,
    RULING.c.idx,
    sqlite_where=_PROVING,
)
EMITTER: Final = Table(
    "broker_emitter",
    METADATA,
    Column("emitter", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("markers", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("last_index", BigInteger, nullable=False),
    Column("ahead_ms", BigInteger, nullable=False),  # claimed minus received, the most ever
    Column("judged", Text, nullable=False),  # by its time: the last received that claims a time
    Column("late_ms", BigInteger, nullable=False),  # received minus claimed, of that marker
    Column("late_most_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
CLOCK: Final = Table(
    "broker_clock",
    METADATA,
    Column("one", Integer, primary_key=True),
    Column("last_index", BigInteger, nullable=False),  # tells memory that is not of these tables
    Column("now_ms", BigInteger, nullable=False),  # the newest received time of the log
)
