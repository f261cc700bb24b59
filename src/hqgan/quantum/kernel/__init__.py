"""Layered circuits in one fused operator: 16 samples in the lanes of a SIMD register at a time.

Read in this order: `plan` (which circuits, and the tables for them), `lanes` (the register as a
number), `amplitudes` (what a gate does to a pair), `passes` (layers of gates), `rotations` (angles
to gates, torques to gradients), `readout`, `adjoint` (a whole circuit forward and back), and `op`
(the torch operator). Only `plan` can be imported without numba.
"""
