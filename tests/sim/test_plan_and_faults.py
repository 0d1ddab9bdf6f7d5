"""Plans and faults: what may be wished for, what may not, and what is said about it."""

import attrs
import msgspec
import pytest

from treadle.errors import InvalidValueError, UsageError
from treadle.sim.faults import FAULTS, RATE_MAX, fault_rates
from treadle.sim.plan import DECISIONS_MAX, Plan

COUNTS = {
    "workflows": 1_000_000,
    "clients": 10_000,
    "operations": 1_000_000,
    "processes": 16,
    "duration_seconds": 10 * 365 * 86_400,
    "decisions_max": 10 * DECISIONS_MAX,
}


# -- faults ---------------------------------------------------------------------------------------------


def test_every_fault_says_what_happens_and_why_it_must_be_survived():
    for name, fault in FAULTS.items():
        assert fault.what, name
        assert fault.reason, name
        assert 0 < fault.default <= (1_000 if fault.per == "call" else RATE_MAX), name
    assert len({fault.reason for fault in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"crsh": 20_000}, "no fault is called 'crsh'; did you mean 'crash'?"),
        (
            {"delay": 1_001},
            "the rate of delay is a whole number of thousandths of calls, 0 to 1,000, got 1001",
        ),
        ({"crash": -1}, "thousandths of an hour, 0 to 1,000,000, got -1"),
        ({"crash": 1.5}, "got 1.5"),
        ({"crash": True}, "got True"),
        (["crash"], "faults is a dict of names and rates, got ['crash']"),
    ],
)
def test_a_plan_has_no_fault_that_is_none(faults, says):
    """It would be a world in which nothing happens, and nobody would know."""
    with pytest.raises(UsageError) as caught:
        Plan(faults=faults)

    assert says in str(caught.value)


def test_the_order_in_which_faults_are_named_means_nothing():
    """A seed means the same, and so does the command that shows it again."""
    plan, other = Plan(faults={"pause": 5, "crash": 7}), Plan(faults={"crash": 7, "delay": 0, "pause": 5})

    assert ["crash", "pause"] == list(plan.faults) == list(other.faults)
    assert plan.as_json() == other.as_json()


@pytest.mark.parametrize(
    ("wishes", "rates"),
    [
        ([], {}),
        (["none"], {}),
        (["all"], {name: fault.default for name, fault in FAULTS.items()}),
        (["crash"], {"crash": 20_000}),
        (["crash=7"], {"crash": 7}),
        ([" delay=1000 ", "crash"], {"crash": 20_000, "delay": 1_000}),
        (["all", "crash=0"], {name: fault.default for name, fault in FAULTS.items() if name != "crash"}),
        (["delay", "none", "pause"], {"pause": 10_000}),
        (["crash=0"], {}),
    ],
)
def test_wishes_become_rates_in_the_tables_order(wishes, rates):
    assert rates == fault_rates(wishes)
    assert list(fault_rates(wishes)) == [name for name in FAULTS if name in rates]


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("crsh", "no fault is called 'crsh'; did you mean 'crash'?"),
        ("al", "did you mean 'all'?"),
        ("quake", "no fault is called 'quake'; expected one of crash, crash_at_append"),
        ("", "no fault is called ''"),
        ("all=3", "no fault is called 'all'"),
        ("delay=1001", "the rate of delay is a whole number of thousandths of calls, 0 to 1,000, got '1001'"),
        ("crash=1000001", "thousandths of an hour, 0 to 1,000,000, got '1000001'"),
        ("crash=", "got ''"),
        ("crash=-1", "got '-1'"),
        ("crash=0.5", "got '0.5'"),
        ("crash=1e3", "got '1e3'"),
        ("crash=٣", "got '٣'"),
        ("crash=1=2", "got '1=2'"),
    ],
)
def test_what_is_no_fault_and_no_rate_is_told(wish, says):
    with pytest.raises(UsageError) as caught:
        fault_rates([wish])

    assert says in str(caught.value)


# -- plans ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "most"), COUNTS.items())
def test_a_count_lies_within_its_limits(name, most):
    assert getattr(Plan(**{name: most}), name) == most
    for wrong in (0, -1, most + 1, 1.0, True, "1", None):
        with pytest.raises(InvalidValueError, match=name):
            Plan(**{name: wrong})


def test_a_disk_belongs_to_one_process():
    with pytest.raises(InvalidValueError, match="give processes=1, or store='memory'"):
        Plan(processes=2, store="disk")
    with pytest.raises(ValueError, match="tape"):
        Plan(store="tape")


def test_a_plan_comes_back_from_its_json():
    plan = Plan(
        workload="workflows",
        workflows=7,
        clients=2,
        operations=3,
        processes=4,
        duration_seconds=5,
        faults={"crash": 3},
        decisions_max=1_000,
        module="shop:Load",
        kills=((3, True), (9, False)),
        forced=((17, 1), (30, 2)),
    )
    text = msgspec.json.encode(plan.as_json(), order="deterministic")

    assert plan == Plan.from_json(msgspec.json.decode(text))
    assert {field.name for field in attrs.fields(Plan)} == set(msgspec.json.decode(text))


@pytest.mark.parametrize(
    "values",
    [
        {"workflows": 0},
        {"colour": "red"},
        {"faults": {"crash": "often"}},
        {"faults": 3},
        {"kills": [3]},
        {"kills": [[1, 2, 3]]},
        {"kills": 3},
        {"forced": [3]},
        {"forced": [[0, 1]]},
        {"forced": [[1, -1]]},
        {"forced": [["a", 1]]},
        {"store": "tape"},
        {"processes": 2, "store": "disk"},
    ],
    ids=str,
)
def test_what_is_no_plan_is_told(values):
    with pytest.raises(InvalidValueError):
        Plan.from_json(values)
