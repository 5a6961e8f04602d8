"""The demo: a real Label Studio and our backend, started and connected; nothing the service needs."""
