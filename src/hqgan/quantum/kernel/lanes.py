"""A number type for numba that is 16 numbers: one SIMD register, or a few.

Numba has no SIMD type, and it cannot prove that its arrays do not overlap, so the machine code of
plain loops is several times slower. `Lanes` is LLVM's <16 x float>: one register of AVX-512, two of
AVX2, four of NEON or SSE2; LLVM chooses for the machine it runs on. Lanes are loaded from and
stored to any float32 array, and know + - * and negation. One sample lives in one lane throughout.
"""

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from hqgan.quantum.kernel.compiling import FLAGS
from hqgan.quantum.kernel.plan import LANES

# Numba's own annotation forgets that the typing context is not passed by the caller.
_intrinsic: Callable[[Any], Any] = intrinsic

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class LanesType(types.Type):
    """Numba's name for the type."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


_lanes = LanesType()


@register_model(LanesType)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _address(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _VECTOR.as_pointer())


@_intrinsic
def load_lanes(typing: Any, array: Any, start: Any) -> Any:
    """Lanes from array[start : start + 16]; `array` is a contiguous float32 vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, sig.args[0], *args), align=4)

    return _lanes(array, types.intp), generate


@_intrinsic
def store_lanes(typing: Any, array: Any, start: Any, lanes: Any) -> Any:
    """array[start : start + 16] = lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _lanes), generate


@_intrinsic
def splat(typing: Any, number: Any) -> Any:
    """The same number in every lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)

    return _lanes(types.float32), generate


@_intrinsic
def lane_sum(typing: Any, lanes: Any) -> Any:
    """The sum over the lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        elements = [builder.extract_element(args[0], ir.IntType(32)(i)) for i in range(LANES)]
        while len(elements) > 1:  # in pairs: half the rounding error of one after the other
            pairs = zip(elements[::2], elements[1::2], strict=True)
            elements = [builder.fadd(a, b, flags=FLAGS) for a, b in pairs]
        return elements[0]

    return types.float32(_lanes), generate


def _teach(operation: Any, instruction: str, operands: int) -> None:
    """Let numba type and compile `operation` where all operands are lanes."""

    @infer_global(operation)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == operands and all(isinstance(arg, LanesType) for arg in args):
                return signature(_lanes, *args)
            return None

    @lower_builtin(operation, *[LanesType] * operands)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=FLAGS)


_teach(operator.add, "fadd", 2)
_teach(operator.sub, "fsub", 2)
_teach(operator.mul, "fmul", 2)
_teach(operator.neg, "fneg", 1)
