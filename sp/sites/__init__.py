"""Several sites behind one gateway: their settings, and the hand-over of a person from one to another."""
