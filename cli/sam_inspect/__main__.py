"""`python -m sam_inspect` is `sam-inspect`."""

from sam_inspect.main import main

main()
