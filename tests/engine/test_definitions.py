"""Definitions: what a function must be, what is remembered of it, and what is refused."""

from __future__ import annotations

import functools
import inspect
import warnings

import definition_samples as samples
import pytest
import trio_samples

from treadle import activity
from treadle.engine.definitions import (
    ActivityOptions,
    Registry,
    Retry,
    WorkflowCodeWarning,
    define_activity,
    define_workflow,
)
from treadle.errors import DefinitionError, InvalidValueError
from treadle.payloads import JsonConverter

# -- what is remembered --


def test_bare_decorator_takes_the_functions_name_and_the_defaults():
    definition = samples.charge

    assert ("charge", True, None) == (definition.name, definition.is_async, definition.concurrency)
    assert ActivityOptions() == definition.options
    assert Retry(attempts=10) == definition.options.retry
    assert definition.options.start_to_close_ns is None


def test_options_become_nanoseconds():
    definition = samples.ship

    assert ("ship.parcel", False, 4) == (definition.name, definition.is_async, definition.concurrency)
    assert (
        ActivityOptions(
            retry=Retry(attempts=3),
            start_to_close_ns=30_000_000_000,
            schedule_to_close_ns=3_600_000_000_000,
            heartbeat_ns=500_000_000,
            on_cancel="abandon",
        )
        == definition.options
    )


def test_options_can_be_changed_for_one_call():
    changed = samples.ship.with_options(start_to_close_seconds=5, on_cancel="wait")

    assert (5_000_000_000, "wait") == (changed.options.start_to_close_ns, changed.options.on_cancel)
    assert samples.ship.options.heartbeat_ns == changed.options.heartbeat_ns
    assert (samples.ship.name, samples.ship.function) == (changed.name, changed.function)
    assert 30_000_000_000 == samples.ship.options.start_to_close_ns


def test_definition_is_called_as_its_function():
    order = samples.Order("a", [])

    assert order is samples.ship(order)
    coroutine = samples.charge("a", 1)
    assert inspect.iscoroutine(coroutine)
    with pytest.raises(StopIteration, match="a:1"):
        coroutine.send(None)


def test_definition_explains_itself():
    assert f"<activity 'ship.parcel' at {samples.__file__}:" in repr(samples.ship)
    assert "<workflow 'patient' at " in repr(samples.held_on_key_error)
    assert "ship" == samples.ship.__name__


def test_workflow_holds_on_what_it_was_told():
    default, own = samples.order_workflow, samples.held_on_key_error

    assert all(default.holds(kind()) for kind in (NameError, AttributeError, ImportError, UnboundLocalError))
    assert not default.holds(KeyError())
    assert own.holds(KeyError())
    assert not own.holds(NameError())
    assert default.holds(ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [NameError()])]))
    assert not default.holds(ExceptionGroup("g", [ValueError()]))


# -- what is refused --


def nested():
    def inner():
        pass

    return inner


def generator():
    yield 1


async def async_generator():
    yield 1


class Holder:
    def method(self):
        pass

    @staticmethod
    def static():
        pass


def plain():
    pass


REFUSED = [
    (lambda: 1, "is a lambda, which has no name to be found by after a restart"),
    (nested(), "'nested.<locals>.inner' .* is nested in another function"),
    (generator, "is a generator"),
    (async_generator, "is a generator"),
    (Holder.method, "'Holder.method' .* is a method"),
    (Holder.static, "is a method"),
    (Holder, "got the class Holder"),
    (functools.partial(plain), "got a functools.partial of <function plain"),
    (len, "got <built-in function len>"),
    (Holder().method, "stands above a function of a module"),
    (5, r"got 5 \(int\)"),
    (samples.charge, "is defined already; one decorator is enough"),
    (samples.wrapped_badly, r"takes only \*args, \*\*kwargs, so nothing is known .* functools.wraps"),
]


@pytest.mark.parametrize("define", [define_activity, define_workflow])
@pytest.mark.parametrize(("function", "says"), REFUSED, ids=[says[:30] for _, says in REFUSED])
def test_function_that_cannot_be_found_or_called_again_is_refused(define, function, says):
    for decorate in (define, define(name="given")):
        with pytest.raises(DefinitionError, match=says):
            decorate(function)


def test_refusal_names_the_line():
    with pytest.raises(DefinitionError, match=rf"test_definitions.py:{generator.__code__.co_firstlineno}\)"):
        define_activity(generator)


def test_name_without_its_keyword_is_explained():
    with pytest.raises(DefinitionError, match=r"write @activity.define\(name='charge'\)"):
        define_activity("charge")


def test_workflow_is_async():
    with pytest.raises(DefinitionError, match=r"'plain' .* is a plain function; workflow code waits"):
        define_workflow(plain)


@pytest.mark.parametrize("name", ["", " ", "a\n", "x" * 256, "é" * 128, 7])
def test_name_that_is_none_is_refused(name):
    with pytest.raises(DefinitionError, match="the name of an activity"):
        define_activity(name=name)(plain)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_to_close_seconds": 0}, "start_to_close_seconds is above 0 seconds, got 0"),
        ({"start_to_close_seconds": -1}, "start_to_close_seconds is a number of seconds from 0"),
        ({"schedule_to_close_seconds": "30"}, "schedule_to_close_seconds is a number of seconds .* got '30'"),
        ({"heartbeat_seconds": float("nan")}, "heartbeat_seconds is a number of seconds .* got nan"),
        ({"heartbeat_seconds": True}, "heartbeat_seconds is a number of seconds .* got True"),
        ({"on_cancel": "never"}, "on_cancel is 'wait' or 'abandon', got 'never'"),
        ({"concurrency": 0}, "concurrency is an int from 1, or None"),
        ({"concurrency": True}, "concurrency is an int from 1, or None"),
        ({"retry": 3}, r"write retry=activity.Retry\(attempts=3\)"),
    ],
)
def test_option_that_is_none_is_refused(options, says):
    with pytest.raises((DefinitionError, InvalidValueError), match=says):
        activity.define(**options)


@pytest.mark.parametrize("hold_on", [5, (5,), ["x"], (int,), (KeyboardInterrupt,)])
def test_hold_on_holds_exception_types(hold_on):
    with pytest.raises(DefinitionError, match="hold_on is a tuple of Exception types"):
        define_workflow(hold_on=hold_on)


# -- Trio inside workflow code --


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (trio_samples.opens_a_nursery, "trio.open_nursery, trio.sleep"),
        (trio_samples.takes_a_scope, "trio's CancelScope"),
        (trio_samples.sleeps_under_another_name, "trio's pause"),
        (trio_samples.hides_it_inside, "trio's open_nursery"),
    ],
)
def test_trios_own_functions_in_workflow_code_are_warned_of(function, names):
    with pytest.warns(WorkflowCodeWarning, match=f"workflow '{function.__name__}' names {names},") as caught:
        define_workflow(function)

    first = function.__code__.co_firstlineno
    assert trio_samples.__file__ == caught[0].filename
    assert first < caught[0].lineno <= first + 3
    assert f"trio_samples.py:{caught[0].lineno})" in str(caught[0].message)


@pytest.mark.parametrize("function", [trio_samples.only_catches, trio_samples.has_its_own])
def test_names_that_do_nothing_are_not_warned_of(function):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        define_workflow(function)


def test_activities_may_use_trio():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        define_activity(trio_samples.opens_a_nursery)


# -- the registry --


def test_registry_finds_by_name():
    registry = Registry([samples.order_workflow], [samples.charge, samples.ship])

    assert samples.order_workflow is registry.workflow("order_workflow")
    assert samples.ship is registry.activity("ship.parcel")
    assert {"charge", "ship.parcel"} == set(registry.activities)
    assert "activities 'charge', 'ship.parcel'" in repr(registry)


def test_same_definition_twice_is_one():
    assert 1 == len(Registry([], [samples.charge, samples.charge]).activities)


def test_unknown_name_lists_near_ones():
    registry = Registry([], [samples.charge, samples.ship])

    with pytest.raises(
        DefinitionError,
        match=r"no activity is registered as 'chrage'; did you mean 'charge'\? Registered are: 'charge',",
    ):
        registry.activity("chrage")
    with pytest.raises(DefinitionError, match=r"no workflow is registered as 'x'\. Registered are: none"):
        registry.workflow("x")


@pytest.mark.parametrize(
    ("workflows", "activities", "says"),
    [
        (
            [],
            [samples.charge, activity.define(name="charge")(plain)],
            "each activity has its own name, got 'charge' twice: <act",
        ),
        ([], [plain], "activities= holds what @activity.define has made, got <function plain"),
        ([samples.charge], [], "workflows= holds what @workflow.define has made, got <activity 'charge'"),
        ([], samples.charge, "activities= is a list of definitions, got <activity 'charge'"),
        ([], "charge", "activities= is a list of definitions, got 'charge'"),
        (
            [],
            [samples.unresolvable],
            "'unresolvable' .* got one that cannot: name 'Decimal' is not defined; import",
        ),
        ([], [samples.unfillable], "argument 'error' of activity 'unfillable': .* got <class 'ValueError'>"),
        (
            [],
            [samples.unfillable_result],
            "the result of activity 'unfillable_result': an annotation is a type",
        ),
    ],
)
def test_registry_refuses_what_it_could_not_run(workflows, activities, says):
    with pytest.raises(DefinitionError, match=says):
        Registry(workflows, activities, JsonConverter())


# -- retries --


def test_delays_grow_to_the_longest_one():
    retry = Retry(initial_seconds=1, backoff=2, maximum_seconds=100)

    assert [1, 2, 4, 8, 16, 32, 64, 100, 100] == [retry.delay_ns(n) / 1e9 for n in range(1, 10)]
    assert 100_000_000_000 == retry.delay_ns(10**9)


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(initial_seconds=0), [0, 0, 0]),
        (Retry(initial_seconds=0.1, backoff=1.5), [100_000_000, 150_000_000, 225_000_000]),
        (Retry(initial_seconds=7, backoff=1), [7_000_000_000] * 3),
        (Retry(initial_seconds=1e-9, backoff=1.001), [1, 1, 1]),
    ],
)
def test_delays_are_whole_nanoseconds(retry, delays):
    found = [retry.delay_ns(n) for n in (1, 2, 3)]

    assert delays == found
    assert {int} == set(map(type, found))


def test_attempts_end():
    retry = Retry(attempts=3)

    assert [1_000_000_000, 2_000_000_000, None, None] == [retry.next_delay_ns(n) for n in (1, 2, 3, 4)]
    assert retry.next_delay_ns(3, retry_after_seconds=5) is None


def test_attempts_without_end_have_to_be_asked_for():
    assert 10 == Retry().attempts
    assert Retry(attempts=None).next_delay_ns(10**9) == 100_000_000_000


def test_failure_may_ask_for_its_own_delay():
    assert 300_000_000_000 == Retry().next_delay_ns(1, retry_after_seconds=300)
    assert 0 == Retry().next_delay_ns(1, retry_after_seconds=0)


def test_types_are_kept_by_name():
    retry = Retry(non_retryable=(ValueError, "Declined", DefinitionError))

    assert ("ValueError", "Declined", "treadle.errors.DefinitionError") == retry.non_retryable_names
    assert ("KeyError",) == Retry(non_retryable=KeyError).non_retryable_names


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"initial_seconds": -1}, "Retry.initial_seconds is a number of seconds"),
        ({"maximum_seconds": 10**10}, "Retry.maximum_seconds is a number of seconds"),
        ({"initial_seconds": 5, "maximum_seconds": 1}, "at least initial_seconds, got 1 below 5"),
        ({"backoff": 0.5}, "Retry.backoff is a number from 1 to 1,000, got 0.5"),
        ({"backoff": float("inf")}, "Retry.backoff is a number"),
        ({"backoff": "2"}, "Retry.backoff is a number"),
        ({"attempts": 0}, "attempts=1 tries once"),
        ({"attempts": True}, "Retry.attempts is an int from 1"),
        ({"non_retryable": (5,)}, "exception types or their names, got 5"),
        ({"non_retryable": (int,)}, "exception types or their names"),
        ({"non_retryable": ("",)}, "exception types or their names"),
    ],
)
def test_retry_that_cannot_be_is_refused(options, says):
    with pytest.raises(InvalidValueError, match=says):
        Retry(**options)
