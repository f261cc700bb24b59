"""A number type for numba that is 16 numbers, or 4: a SIMD register, a few, or part of one.

Numba has no SIMD type, and it cannot prove that its arrays do not overlap, so the machine code of
plain loops is several times slower. `Lanes` is LLVM's <16 x float>: one register of AVX-512, two of
AVX2, four of NEON or SSE2; LLVM chooses for the machine it runs on. Lanes are loaded from and
stored to any float32 array, and know + - * / and negation. One sample lives in one lane throughout.

What is fused is said (`plus`, `minus`), not left to LLVM: of two products it would fuse one or the
other as a function is inlined here or there, and code from the disk would round otherwise than code
just compiled. A resumed training would end with other bits.

How many lanes is part of the type, and so is known when numba compiles. An argument `like` says it:
either lanes, or a tuple of so many empty tuples, which is a length and nothing else at run time.
"""

import operator
from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from hqgan.quantum.kernel.compiling import FLAGS, inline

# Numba's own annotation forgets that the typing context is not passed by the caller.
_intrinsic: Callable[[Any], Any] = intrinsic


class LanesType(types.Type):
    """Numba's name for the type."""

    def __init__(self, count: int) -> None:
        super().__init__(name=f"Lanes{count}")
        self.count = count


@register_model(LanesType)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(kind.count))


@cache
def _lanes(count: int) -> LanesType:
    return LanesType(count)


@cache
def _vector(count: int) -> Any:
    return ir.VectorType(ir.FloatType(), count)


def _address(context: Any, builder: Any, kind: Any, array: Any, start: Any, count: int) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _vector(count).as_pointer())


@_intrinsic
def lanes_in(typing: Any, like: Any) -> Any:
    """How many lanes: a constant of the machine code."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, sig.args[0].count)

    return types.intp(like), generate


@_intrinsic
def load_lanes(typing: Any, array: Any, start: Any, like: Any) -> Any:
    """Lanes from array[start : start + lanes]; `array` is a contiguous float32 vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1], sig.args[2].count)
        return builder.load(address, align=4)

    return _lanes(like.count)(array, types.intp, like), generate


@_intrinsic
def store_lanes(typing: Any, array: Any, start: Any, lanes: Any) -> Any:
    """array[start : start + lanes] = lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1], sig.args[2].count)
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@_intrinsic
def splat(typing: Any, number: Any, like: Any) -> Any:
    """The same number in every lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = sig.args[1].count
        empty = ir.Constant(_vector(count), ir.Undefined)
        one = builder.insert_element(empty, args[0], ir.IntType(32)(0))
        zeros = ir.Constant(_places(count), None)
        return builder.shuffle_vector(one, empty, zeros)

    return _lanes(like.count)(types.float32, like), generate


@_intrinsic
def lane_sum(typing: Any, lanes: Any) -> Any:
    """The sum over the lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (half,) = args
        while half.type.count > 1:  # in halves: few instructions, and few roundings in a row
            count = half.type.count // 2
            first, second = (
                builder.shuffle_vector(half, half, ir.Constant(_places(count), list(places)))
                for places in (range(count), range(count, 2 * count))
            )
            half = builder.fadd(first, second, flags=FLAGS)
        return builder.extract_element(half, ir.IntType(32)(0))

    return types.float32(lanes), generate


@_intrinsic
def repeat_lanes(typing: Any, lanes: Any, like: Any) -> Any:
    """As many lanes as `like` has: the given ones over and over."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        few, many = sig.args[0].count, sig.args[1].count
        places = ir.Constant(_places(many), [i % few for i in range(many)])
        return builder.shuffle_vector(args[0], args[0], places)

    return _lanes(like.count)(lanes, like), generate


@_intrinsic
def fold_lanes(typing: Any, lanes: Any, like: Any) -> Any:
    """As many lanes as `like` has: the sums of those that `repeat_lanes` makes of each."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        many, few = sig.args[0].count, sig.args[1].count
        parts = [
            builder.shuffle_vector(
                args[0], args[0], ir.Constant(_places(few), list(range(i, i + few)))
            )
            for i in range(0, many, few)
        ]
        return reduce(lambda a, b: builder.fadd(a, b, flags=FLAGS), parts)

    return _lanes(like.count)(lanes, like), generate


def _places(count: int) -> Any:
    return ir.VectorType(ir.IntType(32), count)


def _call(builder: Any, name: str, args: Any) -> Any:
    """Call LLVM's own function `name` on lanes."""
    kind = args[0].type
    function = ir.FunctionType(kind, [kind] * len(args))
    full_name = f"{name}.v{kind.count}f32"
    return builder.call(get_or_insert_function(builder.module, function, full_name), args)


@_intrinsic
def nearest(typing: Any, lanes: Any) -> Any:
    """Each lane rounded to the nearest whole number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.rint", args)

    return lanes(lanes), generate


@_intrinsic
def sign_of(typing: Any, lanes: Any) -> Any:
    """1 or -1 in each lane; zeros have signs too."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ones = ir.Constant(_vector(sig.args[0].count), [1.0] * sig.args[0].count)
        return _call(builder, "llvm.copysign", [ones, args[0]])

    return lanes(lanes), generate


@_intrinsic
def multiply_add_exactly(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z with one rounding, on every processor, however slow."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.fma", args)

    return x(x, y, z), generate


@_intrinsic
def multiply_add(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, with one rounding where the processor has an instruction for it."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "llvm.fmuladd", args)

    return x(x, y, z), generate


@inline
def plus(total: Any, x: Any, y: Any) -> Any:
    """total + x y."""
    return multiply_add(x, y, total)


@inline
def minus(total: Any, x: Any, y: Any) -> Any:
    """total - x y."""
    return multiply_add(-x, y, total)


def _teach(operation: Any, instruction: str, operands: int) -> None:
    """Let numba type and compile `operation` where all operands are as many lanes."""

    @infer_global(operation)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            same = len(args) == operands and len(set(args)) == 1
            return signature(args[0], *args) if same and isinstance(args[0], LanesType) else None

    @lower_builtin(operation, *[LanesType] * operands)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=FLAGS)


_teach(operator.add, "fadd", 2)
_teach(operator.sub, "fsub", 2)
_teach(operator.mul, "fmul", 2)
_teach(operator.truediv, "fdiv", 2)
_teach(operator.neg, "fneg", 1)
