"""`python -m sam_backend` is `sam-inspect`."""

from sam_backend.cli import main

main()
