"""The HTTP application: routes, bodies, answers, authentication, log lines, metrics; the work itself is in `core`."""
