"""Which functions can be workflows and activities, and what their code should not name.

After a restart a function is found again by the name of its definition, so it must be one that an import
makes: at the top of a module, with a signature of its own.
"""

from __future__ import annotations

import dis
import functools
import inspect
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from treadle.errors import DefinitionError

NAME_SIZE_BYTES_MAX: Final = 255
"""A definition's name is a name, like a workflow id."""


class WorkflowCodeWarning(UserWarning):
    """Workflow code names something that would not act on the workflow."""


def checked_name(name: Any, function: Callable[..., Any], what: str) -> str:
    """Give a definition its name.

    Args:
        name: the caller's, or None for the function's own.
        function: the function.
        what: ``"workflow"`` or ``"activity"``, for the error's words.

    Returns:
        The name.

    Raises:
        DefinitionError: it is empty, too long, or not printable.
    """
    found = function.__name__ if name is None else name
    if not isinstance(found, str) or not found.isprintable() or not found.strip():
        raise DefinitionError(f"the name of {_a(what)} is a printable str, got {found!r}; give name='...'")
    if len(found.encode()) > NAME_SIZE_BYTES_MAX:
        raise DefinitionError(
            f"the name of {_a(what)} has at most {NAME_SIZE_BYTES_MAX} UTF-8 bytes, got {found[:40]!r}..."
        )
    return found


def check_function(function: Any, what: str) -> None:
    """Refuse what cannot be found again after a restart, or cannot be called with what is stored.

    Args:
        function: what stands below the decorator.
        what: ``"workflow"`` or ``"activity"``.

    Raises:
        DefinitionError: it is no function of a module, a generator, or one that hides its signature.
    """
    if not isinstance(function, types.FunctionType):
        raise DefinitionError(
            f"@{what}.define stands above a function of a module, got {_shown(function)};"
            f" write `@{what}.define` above a `def`"
        )
    _check_place(function, what)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{what} {_where(function)} is a generator; it has one result: return it, or return a list"
        )
    _check_signature(function, what)


def _check_place(function: types.FunctionType, what: str) -> None:
    if function.__name__ == "<lambda>":
        raise DefinitionError(
            f"{what} {_where(function)} is a lambda, which has no name to be found by after a restart;"
            " write it with def at the top of a module"
        )
    if "<locals>" in function.__qualname__:
        raise DefinitionError(
            f"{what} {_where(function)} is nested in another function, so no import makes it and a restart"
            " would not find it; move it to the top of its module and pass what it needs as arguments"
        )
    if "." in function.__qualname__:
        raise DefinitionError(
            f"{what} {_where(function)} is a method; {_a(what)} has no object to belong to after a restart:"
            " move it to the top of its module"
        )


def _check_signature(function: types.FunctionType, what: str) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    star = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if parameters and all(p.kind in star and p.annotation is p.empty for p in parameters):
        raise DefinitionError(
            f"{what} {_where(function)} takes only {', '.join(str(p) for p in parameters)}, so nothing is"
            " known of its arguments; if a decorator wraps it, use functools.wraps there, else name them"
        )


def check_is_async(function: Callable[..., Any]) -> None:
    """Refuse a workflow that is not `async def`.

    Args:
        function: the function.

    Raises:
        DefinitionError: it is a plain one.
    """
    if not inspect.iscoroutinefunction(function):
        raise DefinitionError(
            f"workflow {_where(function)} is a plain function; workflow code waits, so write `async def`"
        )


def warn_of_trio(function: types.FunctionType) -> None:
    """Warn when workflow code names Trio's own functions.

    Those that await are refused when they run. Those that do not (nurseries, cancel scopes, `Event.set`)
    would act on the runtime's task and not on the workflow's, which shows late and elsewhere.

    Args:
        function: the workflow's function; Trio is not imported to find out.
    """
    found = dict(_trio_names(inspect.unwrap(function)))
    if found:
        line = min(found.values())
        warnings.warn_explicit(
            f"workflow {function.__qualname__!r} names {', '.join(sorted(found))}, which would act on the"
            " runtime's task and not on the workflow: use the name treadle.workflow has for it"
            f" ({function.__code__.co_filename}:{line})",
            WorkflowCodeWarning,
            filename=function.__code__.co_filename,
            lineno=line,
        )


def _trio_names(function: types.FunctionType) -> Iterator[tuple[str, int]]:
    for code in _codes(function.__code__):
        line, module, known = code.co_firstlineno, None, function.__globals__
        for instruction in dis.get_instructions(code):
            line = instruction.positions.lineno or line if instruction.positions else line
            name = instruction.argval
            if module is not None and instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                if not _is_harmless(getattr(module, name, None)):
                    yield f"{module.__name__}.{name}", line
                module = None
            elif instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and name in known:
                value = known[name]
                module = value if isinstance(value, types.ModuleType) and _is_trio(value.__name__) else None
                if (
                    module is None
                    and _is_trio(getattr(value, "__module__", None))
                    and not _is_harmless(value)
                ):
                    yield f"trio's {name}", line
            else:
                module = None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _is_trio(module_name: Any) -> bool:
    return isinstance(module_name, str) and (module_name == "trio" or module_name.startswith("trio."))


def _is_harmless(value: Any) -> bool:
    """Exceptions are only named, in `except` and `raise`."""
    return isinstance(value, type) and issubclass(value, BaseException)


def _a(what: str) -> str:
    return f"an {what}" if what[0] == "a" else f"a {what}"


def _where(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    at = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{function.__qualname__!r}{at}"


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, functools.partial):
        return f"a functools.partial of {value.func!r}"
    if isinstance(value, staticmethod | classmethod):
        return f"a {type(value).__name__}"
    return f"{value!r:.80} ({type(value).__name__})"
