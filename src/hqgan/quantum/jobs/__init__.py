"""Jobs for quantum computers: what is sent, where it goes, and what the answer means.

`hqgan.quantum.backends` is the door. Behind it `device` orders, sends and fetches; `primitives` and
`ibm` talk to those who run jobs; `packing` puts circuits side by side; `sampling` and `estimating`
know what is in a job, `readings` and `mitigation` what the bits are worth, `bill` what it costs.
"""
