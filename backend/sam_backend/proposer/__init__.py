"""The proposer: a net that is trained on a project's accepted images and proposes masks; serving needs no PyTorch."""
