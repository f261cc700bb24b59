"""Memory that compiled code is told of by address: cheaper for small circuits than arrays are."""

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from hqgan.quantum.kernel.compiling import function, inline
from hqgan.quantum.kernel.plan import Program


def _pointer_to(kind: Any, machine: Any) -> Any:
    """The function that takes an address for a pointer to numbers of a kind."""

    def pointer(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], machine.as_pointer())

        return types.CPointer(kind)(types.intp), generate

    # Numba's own annotation forgets that the typing context is not passed by the caller.
    take: Callable[[Any], Any] = intrinsic
    return take(pointer)


_to_float = _pointer_to(types.float32, ir.FloatType())
_to_int = _pointer_to(types.int32, ir.IntType(32))
_to_long = _pointer_to(types.int64, ir.IntType(64))


@inline
def floats_at(address: int, count: int) -> Any:
    """A vector of float32 at an address: whoever gives the address keeps the memory."""
    return carray(_to_float(address), count)


@inline
def ints(numbers: Any, place: int) -> Any:
    """The vector of int32 whose address and length are at a place of the list."""
    return carray(_to_int(numbers[place]), numbers[place + 1])


@inline
def table(numbers: Any, place: int) -> Any:
    """The same with two dimensions."""
    return carray(_to_int(numbers[place]), (numbers[place + 1], numbers[place + 2]))


@function
def program_at(address: int) -> Any:
    """What `plan.addresses` wrote."""
    n = carray(_to_long(address), 4 + 3 * 13)
    return Program(
        n[0],
        n[1],
        n[2],
        n[3],
        floats_at(n[4], n[5]),
        table(n, 7),
        ints(n, 10),
        ints(n, 13),
        table(n, 16),
        carray(_to_float(n[19]), (n[20], n[21])),
        ints(n, 22),
        ints(n, 25),
        table(n, 28),
        table(n, 31),
        table(n, 34),
        table(n, 37),
        ints(n, 40),
    )
