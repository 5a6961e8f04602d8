"""The command `steps`."""

from __future__ import annotations

from sam_inspect.output import print_lines, print_table


def steps() -> None:
    """List the steps of which a pipeline is made, with their options and defaults.

    A pipeline is a TOML file with a table [[step]] for each step, in order;
    use = names it, and other keys are its options. A step without a default
    for an option needs it. Packages add steps by the entry point
    sam_inspect.steps.

    Example: sam-inspect steps
    Example: sam-inspect preannotate --project 3 --pipeline defects.toml
    """
    from sam_backend.pipeline.pipeline import known_steps

    known = list(known_steps())
    rows = ((one.name, one.takes, one.gives, one.summary) for one in known)
    print_table(("Step", "Takes", "Gives", "What it does"), rows)
    print_lines("Options:", *(f"  {one.name}: {', '.join(one.options)}" for one in known if one.options))
