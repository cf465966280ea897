"""The demo: a private stage, five acts and a reckoning, told to a person or to a machine."""
