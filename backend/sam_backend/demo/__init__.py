"""The demo: a real Label Studio and our backend, started, connected and filled with images; nothing the service needs."""
