"""ganbench's own rules, on every component of this package."""

from __future__ import annotations

from ganbench.testing import conformance_tests

test_conformance = conformance_tests(
    "ganbench-pytorch-optimizer",
    examples={
        "optimizer": [
            "po-radam:degenerated_to_sgd=true",  # without, its first five steps are none
            "schedulefreeradam:silent_sgd_phase=false",  # likewise
            "sara:threshold=1.0,lr=1e-3",  # it moves smaller weights only: here most
            "ranger21:num_iterations=50",
        ]
    },
    leave_out=[
        "a2grad",  # no rate for a schedule to set, which is therefore refused
        "alig",  # likewise
        "fadam",  # its moments are float32 whatever the network is, and ganbench trains in float32
        "magma",  # takes torch's default type for its own, and ganbench never changes that
        "trac",  # likewise
        "kron",  # draws from NumPy's random state, and with balance_prob=0 does nothing with it
    ],
)
