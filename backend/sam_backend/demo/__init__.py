"""The demo: starts and connects a real Label Studio and our backend; the service needs nothing of it."""
