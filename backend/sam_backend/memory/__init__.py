"""The example memory: accepted masks become feature vectors, which propose masks in new images; nothing is trained."""
