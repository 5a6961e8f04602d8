"""How the embedded model is made: materials, scenes, the training. Not part of the wheel."""
