"""Layered circuits in one fused operator: 16 samples in the lanes of a SIMD register at a time.

Read in this order: `plan` (which circuits, and the tables for them), `lanes` (the register as a
number), `amplitudes` (what a gate does to a pair), `radix4` and `passes` (layers of gates),
`rotations` (angles to gates, torques to gradients), `phases` (what the RZs become), `readout`,
`adjoint` (a whole circuit forward and back), and `op` (the torch operator). `compiling`, `tables`,
`entries` and `threads` are how Python and compiled code meet. Only `plan` can be imported without
numba.
"""
