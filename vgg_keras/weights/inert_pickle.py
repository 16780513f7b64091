"""Reads the structure of a pickle without running it.

A pickle is a program that can call any function. This machine executes its instructions on plain data alone: a call
becomes a `Call` that names the function, and nothing is imported, called or allocated beyond what the file holds.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Sequence
from typing import IO, Any


@dataclasses.dataclass(frozen=True)
class Global:
    """A function or class that a pickle names, such as "torch.FloatStorage"."""

    name: str


@dataclasses.dataclass(eq=False)
class Call:
    """A call that a pickle asks for, and that was not made.

    Attributes:
        function: what would be called, usually a `Global`.
        arguments: its arguments.
    """

    function: object
    arguments: Sequence

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.name if isinstance(self.function, Global) else type(self.function).__name__


# Called with a function's name and arguments; returns plain data in place of the call, or None, which leaves a `Call`.
Build = Callable[[str, Sequence], object]
# Called with the identity of something that lies outside the pickle; returns what stands for it.
Refer = Callable[[object], object]
_SIMPLE_KEYS = (str, bytes, int, float, type(None))
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_VALUES = _NUMBERS | _TEXTS | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}


class _Machine:
    """The stack machine that a pickle is written for."""

    def __init__(self, build: Build, refer: Refer):
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._make, self._refer = build, refer

    def execute(self, name: str, argument: Any) -> None:
        """Executes an instruction, named as in `pickletools`."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in _TUPLES:
            self.stack.append(tuple(self.pop(_TUPLES[name])))
        elif name in _PUTS:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise ValueError(f"it uses the instruction {name}, which no state dict needs")
            method(argument)

    def pop(self, count: int) -> list:
        """Takes values from the top of the stack.

        Raises:
            ValueError: the stack holds fewer.
        """
        if count > len(self.stack):
            raise ValueError("its pickle takes more than it holds")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def _popped_to_mark(self) -> list:
        return self.pop(max(0, len(self.stack) - self._marks.pop()))

    def _call(self, function: object, arguments: object) -> None:
        given = arguments if isinstance(arguments, (tuple, list)) else ()
        made = self._make(function.name, given) if isinstance(function, Global) else None
        self.stack.append(Call(function, given) if made is None else made)

    def _add_pairs(self, pairs: Sequence) -> None:
        if isinstance(self.stack[-1], dict):  # a `Call` takes items too, which nobody needs
            keys, values = pairs[::2], pairs[1::2]
            # Hashing a tuple, which may be nested without end, is left out.
            simple = ((key, value) for key, value in zip(keys, values, strict=True) if isinstance(key, _SIMPLE_KEYS))
            self.stack[-1].update(simple)

    def _add_values(self, values: Sequence) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def _mark(self, _) -> None:
        self._marks.append(len(self.stack))

    def _pop(self, _) -> None:
        self.pop(1)

    def _pop_mark(self, _) -> None:
        self._popped_to_mark()

    def _dup(self, _) -> None:
        self.stack.append(self.stack[-1])

    def _tuple(self, _) -> None:
        self.stack.append(tuple(self._popped_to_mark()))

    _frozenset = _tuple

    def _list(self, _) -> None:
        self.stack.append(self._popped_to_mark())

    def _dict(self, _) -> None:
        pairs = self._popped_to_mark()
        self.stack.append({})
        self._add_pairs(pairs)

    def _append(self, _) -> None:
        self._add_values(self.pop(1))

    def _appends(self, _) -> None:
        self._add_values(self._popped_to_mark())

    _additems = _appends

    def _setitem(self, _) -> None:
        self._add_pairs(self.pop(2))

    def _setitems(self, _) -> None:
        self._add_pairs(self._popped_to_mark())

    def _global(self, named: str) -> None:
        self.stack.append(Global(named.replace(" ", ".")))

    def _stack_global(self, _) -> None:
        module, name = self.pop(2)
        self.stack.append(Global(f"{module}.{name}"))

    def _reduce(self, _) -> None:
        self._call(*self.pop(2))

    _newobj = _reduce

    def _newobj_ex(self, _) -> None:
        function, arguments, _ = self.pop(3)
        self._call(function, arguments)

    def _inst(self, named: str) -> None:
        self._call(Global(named.replace(" ", ".")), self._popped_to_mark())

    def _obj(self, _) -> None:
        function, *arguments = self._popped_to_mark()
        self._call(function, arguments)

    def _build(self, _) -> None:
        self.pop(1)  # the attributes of an object, such as `_metadata` of a state dict

    def _binpersid(self, _) -> None:
        self.stack.append(self._refer(self.pop(1)[0]))


def load(stream: IO[bytes], build: Build, refer: Refer) -> object:
    """Reads a pickle from a stream, up to its last instruction.

    Args:
        stream: the pickle; what follows it stays unread.
        build: returns plain data in place of a call, or None, which leaves an inert `Call`.
        refer: returns what stands for something outside the pickle, given its identity.

    Returns:
        Dicts, lists, tuples, numbers and text, `Global`s and `Call`s, and what `build` and `refer` returned.

    Raises:
        ValueError: the pickle is cut or damaged.
    """
    machine = _Machine(build, refer)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop(1)[0]
            machine.execute(opcode.name, argument)
    except (LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"its pickle is damaged: {error!r}") from error
    raise ValueError("its pickle has no end")
