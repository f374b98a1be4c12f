"""`sn.compile`: functions and whole training steps that run without Python once they are known.

The fast path is in bindings/compiled.cpp; here is what happens when it finds nothing: what a
function depends on is looked up, the call is recorded, recordings are compared, and reasons are
told. See docs/compile.md and docs/design/012-compile.md.
"""

from __future__ import annotations

import os
import re
import sys
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Mapping
from functools import WRAPPER_ASSIGNMENTS, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeVar, overload

from . import _core
from ._core import CompiledFunction, InvalidType, InvalidValue, Tensor
from ._errors import error
from ._followed import Followed, Number

__all__ = ["CompiledFunction", "compile"]

_F = TypeVar("_F", bound=Callable[..., Any])

_PACKAGE = os.path.dirname(__file__) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep
_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), _core.dtype, range, slice))

MAX_ENTRIES = 8  # sets of guards of one function
MAX_SPECIALISATIONS = 64  # shapes of arguments under one set
MAX_WATCHED = 200_000  # places that are watched
_PATIENCE = 32  # calls in a row that are recorded


def _is_library(file: str | None) -> bool:
    """Whether code is of this package, the standard library or an installed package."""
    return (
        file is None
        or file.startswith((_PACKAGE, _STANDARD, "<frozen"))
        or f"{os.sep}site-packages{os.sep}" in file
    )


def _module_of(kind: type) -> str:
    name = kind.__module__
    return name if isinstance(name, str) else "builtins"  # a descriptor, of types written in C


def _in_package(kind: type) -> bool:
    return _module_of(kind).partition(".")[0] == "sennit"


def _of_user(kind: type) -> bool:
    """Whether a class was written by the user, as far as its module tells."""
    name = _module_of(kind)
    module = sys.modules.get(name)
    if name == "__main__" or module is None:
        return name != "builtins"
    return not _is_library(getattr(module, "__file__", None))


class _TooMuch(Exception):
    """There is more to watch than is worth it."""


class _Scan:
    """What a function depends on, and the tensors that it can reach.

    From the function, its closure, its defaults and the globals that its code names, through
    functions, containers, modules, optimizers and objects, to everything that holds something.
    """

    def __init__(self) -> None:
        self.guards: list[tuple[Any, ...]] = []
        self.tensors: dict[Tensor, str] = {}
        self.generators: list[Any] = []  # NumPy's
        self.groups: list[dict[str, Any]] = []  # of optimizers of this package
        self._seen: set[int] = set()
        self._keep: list[Any] = []  # ids stay theirs
        self._names: set[str] = set()  # attributes that code of the user names
        self._asked: set[str] = set()  # ... and asks for with getattr and hasattr
        # Owners of attributes that count if they are named: dict or class, path, names that count
        # anyway, and the class that an attribute may come to hide.
        self._limited: list[tuple[Any, str, frozenset[str], type | None]] = []
        self._todo: deque[tuple[Any, str]] = deque()  # breadth first: paths are short
        self._count = 0

    def run(self, roots: list[tuple[Any, str]]) -> None:
        self._todo.extend(roots)
        known = -1
        while self._todo or known != len(self._names):
            while self._todo:
                self._visit(*self._todo.popleft())
            # Names that were learnt on the way may be attributes of what came before.
            known = len(self._names)
            for owner, path, always, kind in self._limited:
                attributes = vars(owner) if isinstance(owner, type) else owner
                for name in self._relevant(attributes, always, kind):
                    if name in attributes:
                        self._later(attributes[name], path + name)
        if "param_groups" in self._names:  # code of the user reads them
            self.groups.clear()
        for owner, path, always, kind in self._limited:
            attributes = vars(owner) if isinstance(owner, type) else owner
            names = tuple(sorted(self._relevant(attributes, always, kind)))
            self._watch(len(names))
            self.guards.append(("names", owner, path, names))

    def _relevant(
        self, attributes: Mapping[str, Any], always: frozenset[str], kind: type | None
    ) -> set[str]:
        found = {n for n in self._names if n in attributes} | self._asked
        if kind is not None:  # an attribute of the instance may come to hide one of the class
            found |= {
                n
                for n in self._names
                if n not in attributes
                and (v := getattr(kind, n, None)) is not None
                and type(v) in _PLAIN
            }
        return found | always

    def _watch(self, places: int) -> None:
        self._count += places + 1
        if self._count > MAX_WATCHED:
            raise _TooMuch

    def _later(self, value: Any, path: str) -> None:
        if type(value) not in _PLAIN and id(value) not in self._seen:
            self._todo.append((value, path))

    def _visit(self, value: Any, path: str) -> None:
        kind = type(value)
        if kind in _PLAIN or id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._keep.append(value)
        if isinstance(value, Tensor):
            self.tensors[value] = path
            if value.__dict__:
                self._dict(value.__dict__, f"{path}.")
        elif kind is FunctionType:
            self._function(value, path)
        elif kind is MethodType:
            self._later(value.__func__, path)
            self._later(value.__self__, path)
        elif kind is CompiledFunction:
            self._later(value.__wrapped__, path)
        elif isinstance(value, partial):
            self._later(value.func, path)
            self._later(value.args, path)
            self._later(value.keywords, path)
        elif isinstance(value, list):
            self._watch(len(value))
            self.guards.append(("list", value, path))
            for i, item in enumerate(value):
                self._later(item, f"{path}[{i}]")
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                self._later(item, f"{path}[{i}]")
        elif isinstance(value, dict):
            self._dict(value, path)
        elif isinstance(value, set | frozenset):
            if isinstance(value, set):
                self._watch(len(value))
                self.guards.append(("set", value, path))
            for item in value:
                self._later(item, path)
        elif isinstance(value, type):
            self._class(value, path)
        elif kind is ModuleType:
            if not _is_library(getattr(value, "__file__", None)):
                self._limited.append((vars(value), f"{path}.", frozenset(), None))
        elif kind is not BuiltinFunctionType:
            self._object(value, path)

    def _dict(self, value: dict[Any, Any], path: str) -> None:
        self._watch(len(value))
        self.guards.append(("dict", value, path))
        for key, item in value.items():
            self._later(key, path)
            self._later(item, f"{path}[{key!r}]" if type(key) in _PLAIN else f"{path}[...]")

    def _function(self, function: FunctionType, path: str) -> None:
        code = function.__code__
        self._later(function.__defaults__, f"a default of {path}")
        self._later(function.__kwdefaults__, f"a default of {path}")
        self._later(function.__dict__, f"{path}.__dict__")
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._watch(1)
            self.guards.append(("cell", cell, name))
            try:
                self._later(cell.cell_contents, name)
            except ValueError:  # it has no contents yet
                continue
        if _is_library(code.co_filename):
            return
        names, asked = _names_of(code)
        self._names |= names
        self._asked |= asked
        space = function.__globals__
        used = tuple(sorted(n for n in names if n in space))
        self._watch(len(used))
        self.guards.append(("names", space, "", used))
        for name in used:
            self._later(space[name], name)

    def _class(self, kind: type, path: str) -> None:
        for base in kind.__mro__:
            if not _of_user(base) or (base is not kind and id(base) in self._seen):
                continue
            self._seen.add(id(base))
            self._keep.append(base)
            always = set()
            for name, item in vars(base).items():
                if isinstance(item, staticmethod | classmethod):
                    item = item.__func__
                elif isinstance(item, property):
                    item = (item.fget, item.fset)
                if isinstance(item, FunctionType) or not name.startswith("__"):
                    self._later(item, f"{base.__name__}.{name}")
                    if type(item) not in _PLAIN:
                        always.add(name)
            self._limited.append((base, f"{base.__name__}.", frozenset(always), None))

    def _object(self, value: Any, path: str) -> None:
        attributes = getattr(value, "__dict__", None)
        kind = type(value)
        if kind.__name__ == "Generator" and _module_of(kind).startswith("numpy.random"):
            self.generators.append(value)
        if type(attributes) is dict and "__wrapped__" in attributes:  # functools.cache
            self._later(attributes["__wrapped__"], path)
        user = _of_user(kind)
        ours = any(_in_package(base) for base in kind.__mro__)
        if type(attributes) is not dict or not (user or ours):
            return
        if user:
            self._later(kind, kind.__name__)
        if ours and not user:
            groups = attributes.get("param_groups")
            if isinstance(groups, list):
                self.groups += [g for g in groups if type(g) is dict]
            self._watch(len(attributes))
            self.guards.append(("dict", attributes, f"{path}."))
            for name, item in attributes.items():
                if name not in ("_roles", "_name"):
                    self._later(item, f"{path}.{name}")
            return
        # Numbers of the user's own that no code here names may change as they like.
        always = {"training", "_hooks"} & attributes.keys() if ours else set()
        if ours:
            always |= {n for n, v in attributes.items() if type(v) not in _PLAIN and n != "_roles"}
        self._limited.append((attributes, f"{path}.", frozenset(always), kind))
        for name in always:
            self._later(attributes[name], f"{path}.{name}")


_code_names: dict[CodeType, tuple[frozenset[str], frozenset[str]]] = {}


def _names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Globals and attributes that code names, its inner functions included; and strings that it may
    ask for as attributes."""
    found = _code_names.get(code)
    if found is None:
        # What a constructor only stores is of objects that are yet to be made.
        names = _read_in(code) if code.co_name == "__init__" else set(code.co_names)
        asks = not names.isdisjoint(("getattr", "hasattr", "setattr"))
        asked: set[str] = set()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                inner, more = _names_of(constant)
                names |= inner
                asked |= more
            elif asks and isinstance(constant, str) and constant.isidentifier():
                asked.add(constant)
        if len(_code_names) > 4096:
            _code_names.clear()
        found = _code_names[code] = frozenset(names | asked), frozenset(asked)
    return found


def _read_in(code: CodeType) -> set[str]:
    from dis import get_instructions

    return {
        i.argval
        for i in get_instructions(code)
        if isinstance(i.argval, str) and i.opname.startswith(("LOAD_", "IMPORT_"))
    }


class _Entry:
    """What was found to hold, and the recordings that were made while it did."""

    def __init__(self, scan: _Scan, objects: tuple[int, ...]) -> None:
        self.guards = _core.make_guards(scan.guards)
        self.reachable = scan.tensors
        self.generators = scan.generators
        self.objects = objects  # arguments that are no tensors
        # Groups of optimizers, and the numbers in them that may change without a new recording.
        self.groups = {id(g): g for g in scan.groups}
        self.rates: list[tuple[dict[str, Any], str]] = []
        self.ready: list[Any] = []
        self.waiting: list[Any] = []  # recorded once


def _joined(first: list[Any], second: list[Any]) -> list[Any]:
    return first + [x for x in second if not any(x[0] is y[0] and x[1] == y[1] for y in first)]


def _drawn(generators: list[Any]) -> tuple[Any, ...]:
    """The state of generators other than ours."""
    state: list[Any] = []
    if "random" in sys.modules:
        state.append(sys.modules["random"].getstate())
    if "numpy.random" in sys.modules:
        kind, keys, *rest = sys.modules["numpy.random"].get_state()
        state.append((kind, keys.tobytes(), *rest))
    state += [g.bit_generator.state for g in generators]
    return tuple(state)


class Control:
    """What a compiled function does when its fast path finds nothing."""

    def __init__(self, function: Callable[..., Any], check: int) -> None:
        self.function = function
        self.check = check
        self.compiled: Any = None
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self.entries: list[_Entry] = []
        self.reasons: list[str] = []  # all that was told
        self._kinds: set[str] = set()
        self.imperative: str | None = None  # why it is
        self.recorded = 0
        self._lock = allocate_lock()
        self._failed = 0
        self._streak = 0
        self._runs = 0

    # ---- telling

    def _say(self, text: str) -> None:
        # Once for each kind: a batch that is shorter again, or another rate, is nothing new.
        kind = re.sub(r"[\d.]+(e-\d+)?", "0", text)
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        self.reasons.append(text)
        import logging

        logging.getLogger("sennit.compile").warning("sn.compile: %s %s", self.name, text)

    def _give_up(self, why: str) -> None:
        self.imperative = why
        self.entries.clear()
        _core.set_entries(self.compiled, [])
        _core.set_imperative(self.compiled)
        self._say(f"stays imperative: {why}")

    def _publish(self) -> None:
        _core.set_entries(self.compiled, [(e.guards, e.ready) for e in self.entries if e.ready])

    # ---- a call that the fast path did not take

    def slow(self, values: tuple[Any, ...], names: tuple[str, ...] | None) -> Any:
        # Another thread's call runs as it is while one is recorded.
        if self.imperative is not None or not self._lock.acquire(blocking=False):
            return self._call(values, names)
        try:
            return self._record(values, names)
        finally:
            self._lock.release()

    def _record(self, values: tuple[Any, ...], names: tuple[str, ...] | None) -> Any:
        runs = _core.compiled_runs(self.compiled)[1]
        self._streak = self._streak + 1 if runs == self._runs else 1
        self._runs = runs
        if self._streak > _PATIENCE:
            why = self.reasons[-1] if self.reasons else "its arguments change"
            self._give_up(f"no two of the last {_PATIENCE} calls were alike (it {why})")
            return self._call(values, names)
        try:
            entry, known, changed = self._entry(values, names)
        except (_TooMuch, RecursionError):
            self._give_up(f"it can reach more than {MAX_WATCHED:,} places that may change")
            return self._call(values, names)
        # Which recording this call belongs to is asked before it changes anything.
        given = (self.compiled, values, names)
        ready, waiting, other = (
            _core.fitting(among, *given) for among in (entry.ready, entry.waiting, known)
        )
        if entry.ready and ready is None:
            self._say(f"is recorded again: {_core.misfit(entry.ready[0], *given)}")
        rates = entry.rates if other is None else _joined(entry.rates, changed)
        drawn = _drawn(entry.generators)
        with Followed(rates):
            result, made, why, again = _core.record_call(
                self.function, values, names, entry.reachable
            )
        self.recorded += 1
        if made is not None and _drawn(entry.generators) != drawn:
            made, again = None, False
            why = "it draws random numbers of Python or NumPy; draw them with sn.random"
        if made is not None and (change := entry.guards.changed()) is not None:
            made, again = None, True
            why = f"it changes what it depends on: {change}"
        if made is None:
            self._failed += 1
            if self._failed > (4 if again else 1):
                self._give_up(why)
            return result
        self._failed = 0
        if self._follow(entry, rates, made, other) and (
            other is None or not self._renumber(entry, other, made)
        ):
            self._accept(entry, made, ready, waiting)
        return result

    def _follow(self, entry: _Entry, rates: list[Any], made: Any, other: Any) -> bool:
        """Lets rates change from now on, when a recording has shown how they act. False: one
        decides what is done, and the entry is given up."""
        leaked = made.leaked or Number.leaked
        if leaked and entry.rates:
            if entry in self.entries:
                self.entries.remove(entry)
                self._publish()
            return False
        shown = not leaked and other is not None and made.follows(other)
        if entry.rates or shown:
            made.set_rates(rates, Number.conditions)
        if shown:
            for group, key in rates[len(entry.rates) :]:
                entry.guards.release(group, key)
            entry.rates = rates
        return True

    def _call(self, values: tuple[Any, ...], names: tuple[str, ...] | None) -> Any:
        if not names:
            return self.function(*values)
        count = len(values) - len(names)
        return self.function(*values[:count], **dict(zip(names, values[count:], strict=True)))

    def _entry(
        self, values: tuple[Any, ...], names: tuple[str, ...] | None
    ) -> tuple[_Entry, list[Any], list[tuple[dict[str, Any], str]]]:
        """The entry whose guards hold; specialisations that differ from it in numbers alone, and
        which of these are rates of optimizers."""
        leaves = [x for i, v in enumerate(values) for x in _leaves(v, f"argument {i}")]
        objects = tuple(id(v) for v, _ in leaves if not isinstance(v, Tensor))
        mine = [e for e in self.entries if e.objects == objects]
        for entry in mine:
            if entry.guards.changed() is None:
                return entry, [], []
        if mine:
            self._say(f"is recorded again: {mine[0].guards.changed()}")
        for entry in mine:
            if entry.guards.only_numbers_changed():
                # It goes on with the numbers of now; its specialisations have the former ones.
                known, entry.ready, entry.waiting = entry.ready + entry.waiting, [], []
                changed = entry.guards.changed_floats()
                if any(id(group) not in entry.groups for group, _ in changed):
                    changed = []
                entry.guards.renew()
                self._publish()
                return entry, known, changed
        scan = _Scan()
        scan.run([(self.function, self.name), *(x for x in leaves if not isinstance(x[0], Tensor))])
        return _Entry(scan, objects), [], []

    def _renumber(self, entry: _Entry, known: Any, made: Any) -> bool:
        """Whether a call recorded the same graph with other numbers, which are taken over."""
        why, numbers = _core.compare_recordings(known, made)
        if why and not numbers:
            return False
        # One recording, and other numbers in the next: perhaps not for the reason that is seen.
        if not known.compared and not made.follows(known):
            return False
        made.compared = True
        entry.ready = [made]
        self._front(entry)
        return True

    def _accept(self, entry: _Entry, made: Any, ready: Any, waiting: Any) -> None:
        if entry not in self.entries:
            self.entries.insert(0, entry)
            if len(self.entries) > MAX_ENTRIES:
                self.entries.pop()
                self._say(f"has met {MAX_ENTRIES} states of what it depends on; old ones go")
        if ready is not None:  # check=n
            why, numbers = _core.compare_recordings(ready, made)
            if why and not (numbers and entry.rates and made.follows(ready)):
                self._give_up(f"a call that was checked differs from what was recorded: {why}")
            return
        # The first recording of all is compared with a second.
        if waiting is None and not entry.ready:
            entry.waiting.append(made)
            if len(entry.waiting) > MAX_SPECIALISATIONS:
                entry.waiting.pop(0)
            return
        if waiting is not None:
            why, _ = _core.compare_recordings(waiting, made)
            if why:
                self._give_up(f"its first two recordings differ: {why}")
                return
            entry.waiting.remove(waiting)
        made.compared = True
        entry.ready.insert(0, made)
        if len(entry.ready) > MAX_SPECIALISATIONS:
            entry.ready.pop()
            self._say(f"has met {MAX_SPECIALISATIONS} shapes of arguments; old ones go")
        self._front(entry)

    def _front(self, entry: _Entry) -> None:
        self.entries.remove(entry)
        self.entries.insert(0, entry)
        self._publish()

    # ---- explaining

    def explain(self) -> str:
        calls, runs = _core.compiled_runs(self.compiled)
        lines = [f"{self.name}: {calls} calls, {runs} of them compiled; {self.recorded} recorded"]
        if self.imperative is not None:
            lines.append(f"imperative: {self.imperative}")
        count = sum(len(e.ready) for e in self.entries)
        lines.append(f"{count} specialisations under {len(self.entries)} sets of guards")
        for entry in self.entries:
            lines.append(f"guards on {len(entry.guards)} containers")
            for spec in entry.ready:
                lines += _explain(spec)
            if entry.waiting and not entry.ready:
                lines.append("  recorded once; the next call is compared with it")
        lines += [f"told: {text}" for text in self.reasons]
        return "\n".join(lines)


def _explain(spec: Any) -> list[str]:
    shapes = ", ".join(f"{d}[{', '.join(map(str, s))}]" for d, s in spec.arguments())
    how = "on the tape" if spec.on_tape else f"{spec.kernels()} kernels"
    captured = spec.captured()
    written = [name for name, _, value, _ in captured if value]
    grads = [name for name, _, _, grad in captured if grad]
    lines = [
        f"  ({shapes}): {spec.operations()} operations, {how}, {spec.runs} runs",
        f"    reads {sum(r for _, r, _, _ in captured)} tensors of its own, "
        f"{spec.constants()} constants, draws {spec.draws()} times",
    ]
    if written:
        lines.append(f"    changes {_listed(written)}")
    if grads:
        lines.append(f"    sets gradients of {_listed(grads)}")
    return lines


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _leaves(value: Any, path: str) -> list[tuple[Any, str]]:
    """Tensors and objects in an argument, with where they stand."""
    if isinstance(value, list | tuple) and not isinstance(value, Tensor):
        return [x for i, v in enumerate(value) for x in _leaves(v, f"{path}[{i}]")]
    if type(value) is dict:
        return [x for k, v in value.items() for x in _leaves(v, f"{path}[{k!r}]")]
    return [] if type(value) in _PLAIN else [(value, path)]


@overload
def compile(function: Callable[..., Any], *, check: int = 0) -> CompiledFunction: ...
@overload
def compile(
    function: None = None, *, check: int = 0
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...
def compile(function: Any = None, *, check: int = 0) -> Any:
    """A function that runs without Python once its calls are known: whole training steps included.

    The first two calls run as they are, and are recorded: operations, the tensors that are read,
    written and returned, random draws, gradients. If both agree, later calls bind the present
    values to the recorded graph and run it as one plan. Results, state and random numbers have the
    bits of the function itself. Parameters, buffers, gradients, the state of optimizers and the
    random generator are captured as what they are, places whose values change, so that they may be
    read, loaded, seeded and written between calls.

    What the function depends on is watched: the shape and dtype of arguments, other arguments by
    value, closure cells, globals that it and the functions that it calls name, attributes of
    modules and optimizers (training or not, hooks, learning rates ...), and whether gradients are
    recorded. A change is told once, on the logger "sennit.compile" (by default: on stderr), and
    the call is recorded again.

    Parameters
    ----------
    function : callable or sn.nn.Module, optional
        Without it, the result is a decorator: ``@sn.compile(check=100)``.
    check : int
        Every `check`-th call is recorded again and compared, which finds what cannot be watched;
        0 for never.

    Returns
    -------
    CompiledFunction
        Takes what `function` takes. ``explain()`` tells what was recorded, what is captured, and
        why calls were recorded again. ``__wrapped__`` is the function.

    Raises
    ------
    InvalidType
        When `function` cannot be called, or is a class.
    InvalidValue
        When `check` is negative or no int.

    Notes
    -----
    A function stays imperative, and says why, when its calls are no fixed graph: when it reads
    elements of tensors (``if loss > 3``, ``.item()``), when its first two recordings differ, when
    it changes Python objects that it depends on, or keeps tensors that it makes. What only Python
    sees (prints, lists of numbers, files) happens in recorded calls alone.

    A tensor that is returned can be differentiated, as if the function had been called, unless
    backward() was called inside. Inside of `sn.trace`, `sn.vmap`, other compiled functions and
    `sn.checkpoint` the function itself is called.

    Examples
    --------
    >>> model = sn.nn.Linear(2, 1)
    >>> optimizer = sn.optim.SGD(model.parameters(), lr=0.1)
    >>> @sn.compile
    ... def step(x, y):
    ...     loss = ((model(x) - y) ** 2).mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    ...     return loss
    >>> x, y = sn.ones((4, 2)), sn.ones((4, 1))
    >>> losses = [step(x, y).item() for _ in range(20)]
    >>> losses[-1] < 0.01
    True
    >>> print(step.explain().splitlines()[0])
    step: 20 calls, 18 of them compiled; 2 recorded
    """
    if function is None:
        return partial(compile, check=check)
    if not callable(function) or isinstance(function, type):
        raise error(
            InvalidType,
            "compile",
            f"the argument is a {type(function).__name__}; it must be a function or a module",
        )
    if isinstance(check, bool) or not isinstance(check, int) or check < 0:
        raise error(
            InvalidValue, "compile", f"check is {check!r}; it must be an int, 0 (never) or more"
        )
    if isinstance(function, CompiledFunction):
        function = function.__wrapped__
    control = Control(function, check)
    compiled = CompiledFunction(function, control, check)
    control.compiled = compiled
    for name in WRAPPER_ASSIGNMENTS:
        if isinstance(function, FunctionType):
            setattr(compiled, name, getattr(function, name))
    return compiled
