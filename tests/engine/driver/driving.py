"""A host for the driver's tests: virtual time, and a way to run an async function to its end."""

from treadle.engine.driver import Raised, Scheduler


def run_to_the_end(scheduler):
    """Run main to its end, jumping from deadline to deadline."""
    scheduler.run()
    while scheduler.main_outcome is None:
        assert scheduler.deadlines, f"nobody will ever wake {scheduler.stack()}"
        scheduler.now_ns = max(scheduler.now_ns, min(scheduler.deadlines.values()))
        scheduler.fire(scheduler.now_ns)
        scheduler.run()


def drive(function, *args, **options):
    """Run an async function as a workflow to its end; what it returned, or its error raised."""
    scheduler = Scheduler(**options)
    scheduler.start_main(function, *args)
    run_to_the_end(scheduler)
    outcome = scheduler.main_outcome
    scheduler.evict()
    if isinstance(outcome, Raised):
        raise outcome.exception
    return outcome.value


def parked(function, *args):
    """Start an async function as a workflow and run it as far as it goes; its scheduler."""
    scheduler = Scheduler()
    scheduler.start_main(function, *args)
    scheduler.run()
    return scheduler
