"""The HTTP application: routes, authentication, metrics; no model or region logic of its own."""
