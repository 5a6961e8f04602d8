"""Checks of an installation and of the whole way to a click in Label Studio; each says what to change and where."""
