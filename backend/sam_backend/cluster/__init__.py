"""Work on many images by several processes, of this machine or of a Ray cluster; only this folder knows Ray."""
