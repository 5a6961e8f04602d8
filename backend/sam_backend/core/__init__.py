"""The work of the product: predictions, learning, embeddings, the model in service, one project; nothing of HTTP."""
