"""The model classes: the methods of km-db's models, each by its name there, and the additions."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from kmdb_dagster import Alias, Event, Key, Property, User, connect
from kmdb_dagster.analysis import query
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import T
from testing.revisions import one, rows

pytestmark = pytest.mark.usefixtures("connected")

FIRST, SECOND = (datetime.fromtimestamp(t, UTC).replace(tzinfo=None) for t in (T, T + 5))
ODD = 'it\'s 100% \\ "new"'


def test_event_before() -> None:
    assert [event.t for event in Event.before(SECOND)] == [FIRST]


def test_event_after() -> None:
    assert [event.t for event in Event.after(FIRST).before("2014-04-16")] == [SECOND]


def test_event_since_takes_the_moment_in() -> None:
    assert Event.since(FIRST).before("2014-04-16").count() == 2


def test_event_named() -> None:
    assert Event.named("signed up").count() == 2
    assert Event.named("Visited site").count() == 1
    assert Event.named("never seen").count() == 0


def test_event_by_date() -> None:
    found = [event.t for event in Event.before("2015-01-01").after("2014-01-01").named("visited site").by_date()]
    assert found == [FIRST, SECOND]
    latest = Event.all().latest_first().first()
    assert latest
    assert (latest.name, latest.t) == ("Visited site", datetime(2014, 4, 17, 15, 57, 33))  # noqa: DTZ001 - as in the tables


def test_event_user_is() -> None:
    bob = User.find("42")
    assert Event.for_user(bob).count() == Event.for_user("bob@example.com").count() == bob.events.count() == 3


def test_event_prop() -> None:
    event = Event.named("visited site").after(FIRST).first()
    assert event
    assert (event.prop("referer"), event.prop("page"), event.prop("plan")) == ("b", ODD, None)


def test_event_properties_as_a_dict() -> None:
    event = Event.named("signed up").by_date().first()
    assert event
    assert event.props() == {"plan": "free", "price": "4.50", "seats": "3", "when": "2014-04-15 10:00:00"}
    assert event.properties.count() == 4


def test_event_name() -> None:
    assert [event.name for event in Event.all().by_date()] == [
        "visited site",
        "visited site",
        "signed up",
        "signed up",
        "Visited site",
    ]


def test_event_user() -> None:
    event = Event.named("visited site").first()
    assert event
    assert event.user.name == "42"


def test_event_with_properties() -> None:
    events = list(Event.named("visited site").by_date().with_properties("referer", "page"))
    assert [dict(event.loaded) for event in events] == [{"referer": "a", "page": None}, {"referer": "b", "page": ODD}]
    assert events[1].prop("page") == ODD


def test_event_with_properties_that_exclude_missing() -> None:
    assert [event.t for event in Event.named("visited site").with_properties("page", required=True)] == [SECOND]


def test_property_named() -> None:
    assert sorted(found.value or "" for found in Property.named("referer")) == ["a", "b"]


def test_property_event() -> None:
    found = [(found.name, found.event.name if found.event else None) for found in Property.named("plan").by_date()]
    assert found == [("plan", "signed up"), ("plan", "signed up"), ("plan", None)]


def test_property_user() -> None:
    found = Property.named("zip").first()
    assert found
    assert found.user.name == "42"
    assert Property.for_user("cookie").named("plan").count() == 2


def test_user_find() -> None:
    assert User.find("bob@example.com").name == "42"
    assert User.find("eve").name == "eve"
    with pytest.raises(PermanentError, match="No person has this identity"):
        User.find("no such identity")


def test_user_named() -> None:
    user = User.named("cookie").first()
    assert user
    assert user.name == "cookie"
    assert user.person.name == "42"


def test_user_events() -> None:
    assert User.find("cookie").events.named("visited site").count() == 2
    user = User.named("cookie").first()
    assert user
    assert user.events.count() == 3


def test_user_properties() -> None:
    referers = [found.value for found in User.find("cookie").properties.named("referer").by_date()]
    assert referers == ["a", "b"]


def test_user_prop_is_the_latest() -> None:
    assert User.find("42").prop("plan") == "crew"
    assert User.find("eve").prop("zip") is None


def test_user_identities() -> None:
    assert sorted(user.name for user in User.find("cookie").identities) == ["42", "bob@example.com", "cookie"]


def test_user_aliases() -> None:
    assert sorted((found.name1, found.name2) for found in User.find("42").aliases) == [
        ("42", "bob@example.com"),
        ("cookie", "bob@example.com"),
    ]


def test_key_get() -> None:
    assert Key.get("visited site") != Key.get("Visited site")
    with pytest.raises(PermanentError, match="No event or property"):
        Key.get("never seen")


def test_key_events_and_properties() -> None:
    key = Key.all().where(Key.string == "plan").first()
    assert key
    assert (key.events.count(), key.properties.count()) == (0, 3)


def test_alias() -> None:
    assert Alias.all().before("2014-04-16").count() == 0
    assert Alias.all().count() == 2


@pytest.mark.parametrize(
    "moment",
    [
        "2014-04-15 15:57:38",
        "2014-04-15T17:57:38+02:00",
        datetime(2014, 4, 15, 8, 57, 38, tzinfo=timezone(timedelta(hours=-7))),
    ],
)
def test_a_moment_is_utc_unless_it_says_otherwise(moment: str | datetime) -> None:
    assert Event.before(moment).count() == 1


def test_a_date_is_its_midnight() -> None:
    assert Event.before(date(2014, 4, 16)).count() == 2


def test_a_query_shows_its_sql_which_the_server_takes_as_it_is(connected: Warehouse) -> None:
    asked = Event.named("visited site").with_properties("page", "100% ' \\").since("2014-04-01").by_date()
    assert "'100% '' \\\\'" in asked.sql()
    assert str(asked) == asked.sql()
    assert len(rows(connected.engine, asked.sql().replace(":", "\\:"))) == 2


def test_a_query_asks_nothing_before_its_rows_are_wanted() -> None:
    with connect("mysql://reader@127.0.0.1:1/nothing"):
        asked = Event.named("signed up").before("2014-01-01").by_date()
        assert asked.sql()


def test_other_questions_may_be_asked_while_rows_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "ROWS_PER_BATCH", 1)
    assert [event.prop("referer") for event in Event.named("visited site").by_date()] == ["a", "b"]


def test_rows_come_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "ROWS_PER_BATCH", 2)
    assert [batch.num_rows for batch in Event.all().arrow_batches()] == [2, 2, 1]


def test_whoever_leaves_early_leaves_a_connection_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "ROWS_PER_BATCH", 1)
    for _ in range(3):
        for event in Event.all().by_date():
            assert event.name == "visited site"
            break
    assert Event.all().count() == 5


def test_a_polars_frame_has_a_column_for_each_property() -> None:
    frame = Event.named("visited site").by_date().with_properties("page", "t", "T").to_polars()
    assert frame["page"].to_list() == [None, ODD]
    assert frame["t"].to_list() == [moment.replace(tzinfo=UTC) for moment in (FIRST, SECOND)]
    assert len(set(frame.columns)) == len(frame.columns) == 9


def test_a_pandas_frame_is_the_same() -> None:
    asked = Event.all().by_date()
    assert asked.to_pandas()["name"].tolist() == asked.to_polars()["name"].to_list()
    assert str(asked.to_pandas()["t"].dt.tz) == "UTC"


def test_a_frame_without_rows_has_its_columns() -> None:
    assert Event.named("never seen").to_polars().columns == Event.all().to_polars().columns
    assert User.all().to_polars().columns == ["id", "name"]


def test_the_model_classes_change_nothing(connected: Warehouse) -> None:
    with query._session() as session, pytest.raises(Exception, match="READ ONLY"):  # noqa: SLF001 - to try a write
        session.execute(text("DELETE FROM events"))
    assert one(connected.engine, "SELECT COUNT(*) FROM events") == 5


def test_without_a_database_they_say_what_to_do(connected: Warehouse) -> None:
    url = connected.engine.url.render_as_string(hide_password=False)
    connect(url).close()
    with pytest.raises(PermanentError, match=r"Call kmdb_dagster.connect\(\)"):
        Event.all().count()
