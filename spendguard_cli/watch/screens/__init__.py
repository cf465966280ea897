"""The screens of `watch`: each shows one side of the board."""
