"""Killed without warning, a dozen times, a training ends bit-equal to one that was left alone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_dozen_kills_change_nothing(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "torture.py"), "--kills", "12", "--keep", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=540)
    assert done.returncode == 0, done.stdout + done.stderr
    equal, _, trainings = done.stdout.splitlines()[-1].split()[:3]
    assert equal == trainings and int(trainings) >= 6
