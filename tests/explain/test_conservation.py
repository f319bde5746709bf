"""Which maps should sum to their logit, said where nothing heavy is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fer_batch.explain.conservation import CONSERVATION_BAND, should_conserve


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("preset_a_flat", {}, True),
        ("preset_b_flat", {"epsilon": 0.05}, True),
        ("epsilon_gamma_box", {"low": [0.0]}, True),
        ("preset_a_flat", {"bias": "all"}, False),
        ("z", {}, False),
        ("grad_cam", {}, False),
    ],
)
def test_presets_conserve_and_biases_of_others_do_not(method, options, expected):
    assert should_conserve(method, options) is expected


def test_the_band_is_known_without_torch():
    script = "import sys; from fer_batch.explain.conservation import CONSERVATION_BAND; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert CONSERVATION_BAND == (0.2, 2.0)
