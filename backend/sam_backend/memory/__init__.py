"""The example memory: accepted masks as features of the model's own embedding, and what they find in new images."""
