"""`python -m modelyard` is the command `modelyard`."""

from __future__ import annotations

from modelyard.cli import main

main()
