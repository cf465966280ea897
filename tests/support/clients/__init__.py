"""Real clients, each in a process of its own: their blocks of the page, and their streams and tools.

`process` starts one, `__main__` is what runs in it. The other modules are adapters, one for each family of
clients: `stream(made, model)` and `tools(made, model)` go on with what the page's block has made (its global
names), and return what the user reads.
"""
