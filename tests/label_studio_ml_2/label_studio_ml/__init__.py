"""A stand-in for label-studio-ml 2.x, which is on GitHub only: what its server and its base class were seen to do."""
