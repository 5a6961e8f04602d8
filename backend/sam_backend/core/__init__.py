"""The work itself: predictions, learning, embeddings, the model in service, one project; it knows no HTTP."""
